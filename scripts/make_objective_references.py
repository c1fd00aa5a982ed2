"""Write values and gradients of every objective for `tests/objective.rs`.

    python scripts/make_objective_references.py

Each case has the value and the gradient of the papers' equations, written out below in probabilities and computed
with 60 digits (gradients by central differences at that precision), and, where TRL has the loss, what TRL's own
trainer makes of the same log-probs. The two must agree here already. Needs mpmath, numpy, torch and trl 1.16.
"""
import contextlib
import functools
import json
import math
import pathlib
import types
from collections import defaultdict

import numpy as np
import torch
from mpmath import exp, fsum, log, mp, mpf
from trl import DPOTrainer, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

OUT = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "objectives"
mp.dps = 60
STEP = mpf(10) ** -20


def sigma(x):
    return 1 / (1 + exp(-x))


def smoothed(x, s):
    return -(1 - s) * log(sigma(x)) - s * log(sigma(-x))


# Pairs: (log pi_w, log pi_l, log ref_w, log ref_l, |w|, |l|) and parameters to a loss. ------------------------------


def derivative(k):
    """f'(u) of the f-divergence, with f'(1) = 0."""
    kind = k.get("f_divergence_type", "reverse_kl")
    if kind == "alpha_divergence":
        a = 1 - mpf(k["f_alpha_divergence_coef"])  # the paper's alpha
        return (lambda u: (1 - u**-a) / a) if a else log
    return {"reverse_kl": log, "forward_kl": lambda u: 1 - 1 / u, "js_divergence": lambda u: log(2 * u / (1 + u))}[kind]


def sides(pair, k, averaged=False):
    pw, pl, rw, rl, nw, nl = pair
    of = derivative(k)
    w, l = of(exp(pw - rw)), of(exp(pl - rl))
    return (w / nw, l / nl) if k.get("length_average", averaged) else (w, l)


def margin(pair, k, averaged=False):
    w, l = sides(pair, k, averaged)
    return mpf(k["beta"]) * (w - l)


def rewards(pair, k):
    w, l = sides(pair, k)
    return mpf(k["beta"]) * w, mpf(k["beta"]) * l


def robust(pair, k):
    m, e = margin(pair, k), mpf(k["label_smoothing"])
    return ((1 - e) * -log(sigma(m)) - e * -log(sigma(-m))) / (1 - 2 * e)


def ipo(pair, k):
    w, l = sides(pair, k, averaged=True)
    return (w - l - 1 / (2 * mpf(k["beta"]))) ** 2


def exo_pair(pair, k):
    e = mpf(k["label_smoothing"])
    m = margin(pair, k)
    q = [sigma(m), sigma(-m)]
    return fsum(a * log(a / b) for a, b in zip(q, [1 - e, e]))


def nca_pair(pair, k):
    w, l = rewards(pair, k)
    return -(log(sigma(w)) + fsum(log(sigma(-r)) for r in (w, l)) / 2)


def bco_pair(pair, k):
    w, l = rewards(pair, k)
    return -log(sigma(w)) - log(sigma(-l))


def sppo_hard(pair, k):
    eta = 1 / mpf(k["beta"])
    return fsum((a - eta * (win - mpf(1) / 2)) ** 2 for a, win in zip(sides(pair, k), (1, 0)))


def apo_zero(pair, k):
    w, l = rewards(pair, k)
    return 1 - sigma(w) + sigma(l)


def apo_down(pair, k):
    w, l = rewards(pair, k)
    return sigma(w) + 1 - sigma(w - l)


def discopop(pair, k):
    m = margin(pair, k)
    gate = sigma(m / mpf(k["discopop_tau"]))
    return (1 - gate) * log(1 + exp(-m)) + gate * exp(-m)


def simpo(pair, k):
    pw, pl, _, _, nw, nl = pair
    beta = mpf(k["beta"])
    return smoothed(beta / nw * pw - beta / nl * pl - mpf(k["simpo_gamma"]), mpf(k["label_smoothing"]))


def cpo(pair, k):
    pw, pl = pair[:2]
    return smoothed(mpf(k["beta"]) * (pw - pl), mpf(k["label_smoothing"]))


def orpo(pair, k):
    pw, pl, _, _, nw, nl = pair
    p, q = exp(pw / nw), exp(pl / nl)
    return -mpf(k["beta"]) * log(sigma(log((p / (1 - p)) / (q / (1 - q)))))


def aot(pairs, k):
    average = k.get("length_average", False)
    per = lambda p, n: p / n if average else p
    policy = sorted(per(p[0], p[4]) - per(p[1], p[5]) for p in pairs)
    reference = sorted(per(p[2], p[4]) - per(p[3], p[5]) for p in pairs)
    return [smoothed(mpf(k["beta"]) * (a - b), mpf(k["label_smoothing"])) for a, b in zip(policy, reference)]


def aot_unpaired(pairs, k):
    both = [sides(p, k) for p in pairs]
    chosen, rejected = sorted(w for w, _ in both), sorted(l for _, l in both)
    return [smoothed(mpf(k["beta"]) * (a - b), mpf(k["label_smoothing"])) for a, b in zip(chosen, rejected)]


LOSSES = {
    "sigmoid": lambda pair, k: smoothed(margin(pair, k), mpf(k["label_smoothing"])),
    "sigmoid_norm": lambda pair, k: smoothed(margin(pair, k, averaged=True), mpf(k["label_smoothing"])),
    "hinge": lambda pair, k: max(mpf(0), 1 - margin(pair, k)),
    "robust": robust, "ipo": ipo, "exo_pair": exo_pair, "nca_pair": nca_pair, "bco_pair": bco_pair,
    "sppo_hard": sppo_hard, "apo_zero": apo_zero, "apo_down": apo_down, "discopop": discopop, "simpo": simpo,
    "cpo": cpo, "orpo": orpo,
}
SORTED = {"aot": aot, "aot_unpaired": aot_unpaired}
DEFAULTS = {"beta": 0.1, "label_smoothing": 0.0, "discopop_tau": 0.05, "simpo_gamma": 0.5, "cpo_alpha": 1.0}
OWN = {"exo_pair": {"label_smoothing": 1e-3}, "simpo": {"beta": 2.0}}


def own(name, keys):
    return DEFAULTS | OWN.get(name, {}) | keys


def terms(keys):
    names = keys.get("loss_type", "sigmoid")
    names = [names] if isinstance(names, str) else names
    return list(zip(names, keys.get("loss_weights", [1.0] * len(names))))


def weighed(tokens, other, alpha):
    """A branch's log-prob whose tokens beyond the other's length weigh alpha."""
    shared = min(len(tokens), len(other))
    return fsum(tokens[:shared]) + alpha * fsum(tokens[shared:])


def closed(keys, batch, policy):
    """The batch's loss, of summed log-probs `policy`."""
    reference = sums(batch["reference"], keys)
    lengths = [len(tokens) for tokens in batch["policy"]]
    at = lambda values, i: (values[2 * i], values[2 * i + 1])
    pairs = [at(policy, i) + at(reference, i) + at(lengths, i) for i in range(len(policy) // 2)]
    nll = -fsum(policy[::2]) / sum(lengths[::2])
    total = mpf(0)
    for name, weight in terms(keys):
        k = own(name, keys)
        if name in SORTED:
            losses = SORTED[name](pairs, k)
        else:
            losses = [] if name == "sft" else [LOSSES[name](pair, k) for pair in pairs]
        total += mpf(weight) * fsum(losses) / len(pairs)
        total += mpf(weight) * nll * {"sft": 1, "orpo": 1, "cpo": mpf(k["cpo_alpha"])}.get(name, 0)
    return total


def sums(tokens, keys):
    tokens = [[mpf(t) for t in branch] for branch in tokens]
    if "ld_alpha" not in keys:
        return [fsum(branch) for branch in tokens]
    return [weighed(branch, tokens[i ^ 1], mpf(keys["ld_alpha"])) for i, branch in enumerate(tokens)]


def gradient(function, x):
    def shifted(i, by):
        return x[:i] + [x[i] + by] + x[i + 1 :]

    return [float((function(shifted(i, STEP)) - function(shifted(i, -STEP))) / (2 * STEP)) for i in range(len(x))]


# TRL's own code, given log-probs. -------------------------------------------------------------------------------------


class Told(torch.nn.Module):
    """A model that answers with the log-probs it was told; `kl` answers inputs that begin with token 1."""

    is_gradient_checkpointing = False

    def __init__(self, logps, kl=None):
        super().__init__()
        self.logps, self.kl = logps, kl

    def forward(self, input_ids, **_):
        logps = self.kl if self.kl is not None and input_ids[0, 0] == 1 else self.logps
        zeros = torch.zeros_like(logps)
        return types.SimpleNamespace(log_probs=logps, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


def padded(branches, dtype):
    width = max(map(len, branches))
    table = torch.zeros(len(branches), width, dtype=dtype)
    mask = torch.zeros(len(branches), width + 1, dtype=torch.long)
    for row, tokens in enumerate(branches):
        table[row, : len(tokens)] = torch.tensor(tokens, dtype=dtype)
        mask[row, 1 : len(tokens) + 1] = 1
    return table, mask


def trainer(policy, reference, **given):
    same = lambda x: x
    accelerator = types.SimpleNamespace(device=torch.device("cpu"), gather=same, gather_for_metrics=same,
                                        autocast=contextlib.nullcontext)
    return types.SimpleNamespace(
        model=policy, ref_model=reference, accelerator=accelerator, aux_loss_enabled=False, precompute_ref_logps=False,
        _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1, use_weighting=False, **given)


def logged(told):
    names = ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen",
             "logps/rejected", "kl"]
    return {name: told._metrics["train"][name][-1] for name in names if told._metrics["train"].get(name)}


def trl_dpo(keys, batch):
    # TRL caps the alpha divergence's exponents by dtype, and knows no f64.
    dtype = torch.float32 if keys.get("f_divergence_type") == "alpha_divergence" else torch.float64
    grouped = lambda branches: branches[::2] + branches[1::2]
    policy, mask = padded(grouped(batch["policy"]), dtype)
    reference, _ = padded(grouped(batch["reference"]), dtype)
    names, weights = zip(*terms(keys))
    k = own(names[0], keys)
    told = trainer(
        Told(policy), Told(reference), beta=k["beta"], loss_types=names, loss_weights=weights,
        ld_alpha=keys.get("ld_alpha"), f_divergence_type=keys.get("f_divergence_type", "reverse_kl"),
        f_alpha_divergence_coef=keys.get("f_alpha_divergence_coef", 0.5), label_smoothing=k["label_smoothing"],
        args=types.SimpleNamespace(discopop_tau=k["discopop_tau"], gradient_checkpointing_kwargs=None))
    inputs = {"input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask}
    return DPOTrainer._compute_loss(told, told.model, inputs, False).item(), logged(told)


def trl_free(keys, batch):
    """CPO's, SimPO's and ORPO's trainers; the sigmoid loss of CPO's, given log-ratios, is conservative DPO."""
    name = keys["loss_type"]
    k = own(name, keys)
    policy = [math.fsum(tokens) for tokens in batch["policy"]]
    reference = [math.fsum(tokens) for tokens in batch["reference"]]
    lengths = [len(tokens) for tokens in batch["policy"]]
    nll = -math.fsum(policy[::2]) / sum(lengths[::2])
    if name in ("simpo", "orpo"):
        policy = [p / n for p, n in zip(policy, lengths)]
    if name == "sigmoid":
        policy = [p - r for p, r in zip(policy, reference)]
    policy = torch.tensor(policy, dtype=torch.float64)
    told = trainer(None, None, beta=k["beta"], label_smoothing=k["label_smoothing"], alpha=0.0,
                   simpo_gamma=k["simpo_gamma"], loss_type="simpo" if name == "simpo" else "sigmoid")
    if name == "orpo":
        return nll - ORPOTrainer.odds_ratio_loss(told, policy[::2], policy[1::2])[0].mean().item()
    loss = CPOTrainer.cpo_loss(told, policy[::2], policy[1::2])[0].mean().item()
    return loss + (k["cpo_alpha"] * nll if name == "cpo" else 0.0)


DPO_TYPES = {"sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard",
             "aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft"}


def trl_pairs(keys, batch):
    names = {name for name, _ in terms(keys)}
    if names & {"cpo", "simpo", "orpo"}:
        return (trl_free(keys, batch), {}) if isinstance(keys["loss_type"], str) else (None, {})
    if names == {"sigmoid"} and keys.get("label_smoothing"):
        plain = set(keys) <= {"loss_type", "beta", "label_smoothing"}
        return (trl_free(keys, batch), {}) if plain else (None, {})
    # TRL decides by the loss what is averaged, and shares one label_smoothing.
    if "length_average" in keys or ("exo_pair" in names and len(names) > 1):
        return None, {}
    return trl_dpo(keys, batch)


# Inputs. --------------------------------------------------------------------------------------------------------------

rng = np.random.default_rng(7)


def tokens(count, low, high):
    # Multiples of 1/64 are exact in f32, and so are their sums and differences.
    return (np.round(rng.uniform(low, high, count) * 64) / 64).tolist()


def random_batch(pairs):
    """Pairs without ties: where AOT's sorted values are tied its loss has no gradient, only one on either side."""
    while True:
        batch = draw(pairs)
        lengths = np.array([len(branch) for branch in batch["policy"]])
        values = []
        for keys, by in ({}, 1), ({"ld_alpha": 0.0}, 1), ({"ld_alpha": 0.4}, 1), ({}, lengths):
            p, q = (np.array(sums(batch[name], keys), dtype=float) / by for name in ("policy", "reference"))
            values += [(p - q)[::2], (p - q)[1::2], p[::2] - p[1::2], q[::2] - q[1::2]]
        if all(np.diff(np.sort(x)).min() > 1e-3 for x in values):
            return batch


def draw(pairs):
    policy = [tokens(int(rng.integers(2, 12)), -5, -0.25) for _ in range(2 * pairs)]
    reference = [[min(t + d, -1 / 64) for t, d in zip(branch, tokens(len(branch), -1, 1))] for branch in policy]
    return {"policy": policy, "reference": reference}


def whole(policy, reference, lengths):
    of = lambda values: [[float(v)] + [0.0] * (n - 1) for v, n in zip(values, lengths)]
    return {"policy": of(policy), "reference": of(reference)}


BATCHES = {
    "random": random_batch(6),
    "other": random_batch(5),
    # No margin: policy is the reference, or is as far from it on both sides.
    "zero": whole([-10, -12, -30.5, -28, -7, -9.5], [-10, -12, -31.5, -29, -4, -6.5], [5, 5, 8, 8, 3, 3]),
    # Log-ratios of about 1e4 with every sign.
    "huge": whole([-3, -10004, -10001, -2, -11, -12.5, -10005, -10009],
                  [-10001, -5, -4, -10010, -10008, -10011, -7, -8], [7, 9, 4, 4, 11, 3, 2, 6]),
}
F = [{"f_divergence_type": "forward_kl"}, {"f_divergence_type": "js_divergence"}] + [
    {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": a} for a in (0.0, 0.3, 0.5, 0.999, 1.0)]
MARGINS = ["sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop"]
REFERENCE = MARGINS[:1] + MARGINS[2:]
REFERENCE += ["nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down"]


def pair_keys():
    for name in sorted(DPO_TYPES - {"sft"}) + ["simpo", "cpo", "orpo"]:
        yield {"loss_type": name}
        yield {"loss_type": name, "beta": 0.75}
    for name in ("sigmoid", "robust", "aot", "aot_unpaired", "simpo", "cpo", "exo_pair"):
        yield {"loss_type": name, "beta": 0.3, "label_smoothing": 0.2}
    for name in MARGINS:
        for divergence in F:
            yield {"loss_type": name, "beta": 0.4} | divergence
    for name in REFERENCE:
        yield {"loss_type": name, "beta": 0.5, "length_average": name != "ipo"}
        for alpha in (0.0, 0.4):
            yield {"loss_type": name, "beta": 0.25, "ld_alpha": alpha}
    yield {"loss_type": "sigmoid", "length_average": True, "ld_alpha": 0.7, "f_divergence_type": "js_divergence"}
    yield {"loss_type": "discopop", "discopop_tau": 0.5}
    yield {"loss_type": "discopop", "discopop_tau": 1.0}
    yield {"loss_type": "simpo", "simpo_gamma": 1.4, "beta": 2.5}
    yield {"loss_type": "cpo", "cpo_alpha": 0.0}
    yield {"loss_type": "cpo", "cpo_alpha": 0.3}
    yield {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]}
    yield {"loss_type": ["sigmoid", "ipo"], "beta": 0.2}
    yield {"loss_type": ["hinge", "sft"], "loss_weights": [1.0, 0.05], "f_divergence_type": "forward_kl"}
    yield {"loss_type": ["sigmoid", "simpo", "orpo", "cpo"], "loss_weights": [1.0, 0.5, 0.25, 2.0]}
    yield {"loss_type": ["exo_pair", "robust"], "label_smoothing": 0.05}


def pair_cases():
    for keys in pair_keys():
        for name, batch in BATCHES.items():
            if "ld_alpha" in keys and name in ("zero", "huge"):
                continue
            kind = keys.get("f_divergence_type")
            capped = kind == "forward_kl" or (kind == "alpha_divergence" and keys["f_alpha_divergence_coef"] < 1)
            # Exponents are capped, or scores too large for f32 to subtract: it is only said that all is finite.
            if name == "huge" and capped:
                yield {"keys": keys, "batch": name, "value": None, "gradient": None, "trl": None, "metrics": {}}
                continue
            policy = sums(batch["policy"], keys)
            of = functools.partial(closed, keys, batch)
            value = float(of(policy))
            trl, metrics = trl_pairs(keys, batch)
            # TRL's discopop multiplies an infinity by 0 at large negative margins.
            if trl is not None and not math.isfinite(trl):
                assert name == "huge" and "discopop" in keys["loss_type"], keys
                trl = None
            exact = 1e-4 if kind == "alpha_divergence" else 1e-6
            assert trl is None or abs(trl - value) <= exact * max(1, abs(value)), (keys, name, trl, value)
            yield {"keys": keys, "batch": name, "value": value, "gradient": gradient(of, policy), "trl": trl,
                   "metrics": metrics}


# Unpaired. ------------------------------------------------------------------------------------------------------------


def kto(keys, batch, policy):
    k = {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0} | keys
    beta = mpf(k["beta"])
    kl = max(mpf(0), fsum(mpf(p) - mpf(r) for p, r in zip(batch["policy_mismatched"], batch["reference_mismatched"]))
             / len(policy))
    total = mpf(0)
    for logp, ref, desirable in zip(policy, batch["reference"], batch["desirable"]):
        weight = mpf(k["desirable_weight" if desirable else "undesirable_weight"])
        from_kl = log(exp(logp) / exp(mpf(ref))) - kl
        # The paper: lambda_y - v, with lambda_y constant but for the gradient's sake.
        total += weight - weight * sigma(beta * (from_kl if desirable else -from_kl))
    return total / len(policy), kl


def bco(keys, batch, policy):
    beta = mpf({"beta": 0.1, **keys}["beta"])
    now = [beta * (mpf(p) - mpf(r)) for p, r in zip(batch["policy"], batch["reference"])]
    seen = [mpf(r) for r in batch["seen"]] + now
    shift = fsum(seen) / len(seen)
    total = mpf(0)
    for logp, ref, desirable in zip(policy, batch["reference"], batch["desirable"]):
        reward = beta * log(exp(logp) / exp(mpf(ref)))
        total += -log(sigma(reward - shift)) if desirable else -log(sigma(-(reward - shift)))
    return total / len(policy), shift


def trl_kto(keys, batch):
    k = {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0} | keys
    column = lambda values: torch.tensor(values, dtype=torch.float64)[:, None]
    told = trainer(
        Told(column(batch["policy"]), column(batch["policy_mismatched"])),
        Told(column(batch["reference"]), column(batch["reference_mismatched"])),
        beta=k["beta"], loss_type="kto", calculate_KL=True, desirable_weight=k["desirable_weight"],
        undesirable_weight=k["undesirable_weight"], args=types.SimpleNamespace(gradient_checkpointing_kwargs=None))
    told._compute_kl_logps = functools.partial(KTOTrainer._compute_kl_logps, told)
    count = len(batch["policy"])
    ids = torch.zeros(count, 2, dtype=torch.long)
    mask = torch.tensor([[0, 1]] * count)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": mask,
              "KL_input_ids": ids + 1, "KL_attention_mask": torch.ones_like(ids), "KL_completion_mask": mask,
              "label": torch.tensor(batch["desirable"])}
    return KTOTrainer._compute_loss(told, told.model, inputs, False).item(), logged(told)


def unpaired_batch(count, spread, apart):
    policy, mismatched = tokens(count, -60, -5), tokens(count, -90, -30)
    near = lambda values, low, high: [v + d for v, d in zip(values, tokens(count, low, high))]
    return {"policy": policy, "reference": near(policy, -spread, spread), "policy_mismatched": mismatched,
            "reference_mismatched": near(mismatched, *apart),
            "desirable": [bool(rng.random() < 0.6) for _ in range(count)], "seen": [float(x) for x in tokens(4, -1, 3)]}


UNPAIRED = {
    "random": unpaired_batch(9, 8, (-6, 1)),
    # A negative estimate of the KL, which is held at 0.
    "clamped": unpaired_batch(7, 8, (1, 6)),
    "zero": unpaired_batch(5, 0, (0, 0)),
    "huge": unpaired_batch(8, 10000, (-10000, -9000)),
    "desirable alone": unpaired_batch(4, 5, (-6, 1)) | {"desirable": [True] * 4},
}


def unpaired_cases():
    for name, batch in UNPAIRED.items():
        weighted = {"beta": 0.6, "desirable_weight": 1.25, "undesirable_weight": 0.8}
        for keys in ({"loss_type": "kto"}, {"loss_type": "kto"} | weighted, {"loss_type": "bco"},
                     {"loss_type": "bco", "beta": 0.45}):
            of = {"kto": kto, "bco": bco}[keys["loss_type"]]
            policy = [mpf(p) for p in batch["policy"]]
            value, shared = of(keys, batch, policy)
            trl, metrics = trl_kto(keys, batch) if keys["loss_type"] == "kto" else (None, {})
            assert trl is None or abs(trl - value) <= 1e-9 * max(1, value), (keys, name, trl, value)
            yield {"keys": keys, "batch": name, "value": float(value), "shared": float(shared), "trl": trl,
                   "gradient": gradient(lambda p: of(keys, batch, p)[0], policy), "metrics": metrics}


def write(name, batches, cases):
    cases = [case | {"keys": toml(case["keys"])} for case in cases]
    text = ",\n".join(json.dumps(case) for case in cases)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / name).write_text(f'{{"batches": {json.dumps(batches)},\n"cases": [\n{text}\n]}}\n')
    print(name, len(cases), "cases,", sum(case["trl"] is not None for case in cases), "with TRL's")


def toml(keys):
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())


write("pairs.json", BATCHES, pair_cases())
write("unpaired.json", UNPAIRED, unpaired_cases())
