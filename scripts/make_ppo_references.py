"""Write the steps that `tests/ppo.rs` compares with: tests/fixtures/ppo.json.

    python scripts/make_ppo_references.py PPO_TRAINER

A tiny decoder of transformers, in float64, reads given replies; from log-probs, values and scores follow targets, losses,
metrics and gradients. GRPO's and RLOO's losses are those of TRL's own trainers (1.16). PPO_TRAINER is the file
trl/experimental/ppo/ppo_trainer.py of TRL 1.0, the last major series with PPO; its masked_mean and masked_whiten are used,
and its steps between them are written out again, with the score at a reply's last token (TRL's own place for it is one
later, on padding, wherever there is some). Needs torch, transformers and trl.
"""
import ast
import json
import pathlib
import sys
import types

import torch
from transformers import AutoModelForCausalLM
from trl import GRPOTrainer, RLOOTrainer

ROOT = pathlib.Path(__file__).parent.parent / "tests" / "fixtures"
GENERATIONS, ROOM = 2, 9

source = ast.parse(pathlib.Path(sys.argv[1]).read_text())
source.body = [node for node in source.body if isinstance(node, ast.FunctionDef) and node.name.startswith("masked_")]
exec(compile(source, "ppo_trainer", "exec"))  # masked_mean, masked_var, masked_whiten

torch.manual_seed(7)
model = AutoModelForCausalLM.from_pretrained(ROOT / "trl_dpo" / "model", dtype=torch.float64)
model.train()
head = torch.randn(1, 32, dtype=torch.float64) * 0.3
head.requires_grad_()
bias = torch.tensor([0.2], dtype=torch.float64, requires_grad=True)

prompts = [torch.randint(1, 290, (length,)).tolist() for length in (6, 9, 4, 7)]
lengths = [3, 8, 1, 5, 9, 2, 4, 4]
finished = [True, True, True, False, False, True, False, True]
replies = [
    torch.randint(1, 290, (length - end,)).tolist() + [0] * end for length, end in zip(lengths, map(int, finished))
]
mask = torch.tensor([[t < length for t in range(ROOM)] for length in lengths])


def read(temperature):
    """Log-probs, entropies and values of all replies, padded with zeros."""
    rows = []
    for index, reply in enumerate(replies):
        prompt = prompts[index // GENERATIONS]
        out = model(torch.tensor([prompt + reply]), output_hidden_states=True)
        at = slice(len(prompt) - 1, -1)
        logits = out.logits[0, at] / temperature
        logps = logits.log_softmax(-1)
        values = out.hidden_states[-1][0, at] @ head.T + bias
        told = logps.gather(1, torch.tensor(reply)[:, None])[:, 0]
        rows.append([told, -(logps.exp() * logps).sum(-1), values[:, 0]])
    pad = torch.nn.utils.rnn.pad_sequence
    return [pad([row[k] for row in rows], batch_first=True) for k in range(3)]


with torch.no_grad():
    now, _, values = read(1.0)
noise = lambda scale: torch.randn(8, ROOM, dtype=torch.float64) * scale
known = {
    "scores": torch.randn(8, dtype=torch.float64) * 2,
    "logps": (now + noise(0.25)).masked_fill(~mask, 0),
    "reference": (now + noise(0.4)).masked_fill(~mask, 0),
    "values": (values + noise(0.4)).masked_fill(~mask, 0),
}


def estimate(kind):
    logr = known["reference"] - known["logps"]
    return -logr if kind == "k1" else (logr.exp() - 1) - logr


def ppo(keys, new, vpred, entropy):
    values, coef = known["values"], keys["kl_coef"]
    kl = estimate(keys["kl_estimator"])
    rewards = -coef * kl
    rewards[torch.arange(8), torch.tensor(lengths) - 1] += known["scores"]
    if keys["whiten_rewards"]:
        rewards = masked_whiten(rewards, mask, shift_mean=False).masked_fill(~mask, 0)
    last, reversed_ = 0, []
    for t in reversed(range(ROOM)):
        following = values[:, t + 1] if t < ROOM - 1 else 0.0
        delta = rewards[:, t] + keys["gamma"] * following - values[:, t]
        last = delta + keys["gamma"] * keys["lam"] * last
        reversed_.append(last)
    advantages = torch.stack(reversed_[::-1], dim=1)
    returns = advantages + values
    advantages = masked_whiten(advantages, mask).masked_fill(~mask, 0)

    e, ev = keys["cliprange"], keys["cliprange_value"]
    clipped = torch.clamp(vpred, values - ev, values + ev)
    free, bound = (vpred - returns) ** 2, (clipped - returns) ** 2
    value_loss = 0.5 * masked_mean(torch.max(free, bound), mask)
    ratio = torch.exp(new - known["logps"])
    loss1, loss2 = -advantages * ratio, -advantages * torch.clamp(ratio, 1 - e, 1 + e)
    policy_loss = masked_mean(torch.max(loss1, loss2), mask)
    mean_entropy = masked_mean(entropy, mask)
    loss = policy_loss + keys["vf_coef"] * value_loss - keys["entropy_coef"] * mean_entropy
    update = {
        "policy_loss": policy_loss, "value_loss": value_loss, "entropy": mean_entropy,
        "clipfrac": masked_mean((loss2 > loss1).double(), mask),
        "value_clipfrac": masked_mean((bound > free).double(), mask), "ratio": masked_mean(ratio, mask),
    }
    return loss, update, kl, advantages, returns


class Accelerator:
    num_processes, sync_gradients = 1, True
    gather = staticmethod(lambda x: x)
    reduce = staticmethod(lambda x, reduction: x)


def trainer(kind, new, entropy, **given):
    """As much of a trainer as its loss reads; the model's part is `new` and `entropy`."""
    told = types.SimpleNamespace(
        model=model, accelerator=Accelerator, aux_loss_enabled=False, top_entropy_quantile=1.0,
        off_policy_mask_threshold=None, importance_sampling_level="token", use_vllm=False, use_adaptive_entropy=False,
        current_gradient_accumulation_steps=1, max_completion_length=ROOM, epsilon_low=0.2, epsilon_high=0.2,
        args=types.SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        _metrics={"train": __import__("collections").defaultdict(list)}, **given)
    told._get_per_token_logps_and_entropies = lambda *a, **k: (new, entropy, None)
    ids = torch.zeros(8, ROOM, dtype=torch.long)
    inputs = {
        "prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1], "completion_ids": ids, "completion_mask": mask.long(),
        "old_per_token_logps": known["logps"], "old_logps": known["logps"].sum(1),
        "ref_per_token_logps": known["reference"], "num_items_in_batch": mask.sum(),
    }
    return told, inputs


def clipping(told):
    return told._metrics["train"]["clip_ratio/region_mean"][-1]


def rloo(keys, new, vpred, entropy):
    kl = estimate("k1")
    rewards = known["scores"] - keys["beta"] * kl.sum(1)
    grouped = rewards.view(-1, GENERATIONS)
    advantages = rewards - ((grouped.sum(1, keepdim=True) - grouped) / (GENERATIONS - 1)).view(-1)
    if keys["normalize_advantages"]:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-4)
    told, inputs = trainer(RLOOTrainer, new, entropy)
    loss = RLOOTrainer._compute_loss(told, model, inputs | {"advantages": advantages})
    ratio = torch.exp((new - known["logps"]).sum(1)).mean()
    update = {"policy_loss": loss, "entropy": masked_mean(entropy, mask), "clipfrac": clipping(told), "ratio": ratio}
    return loss, update, kl, advantages[:, None], None


def grpo(keys, new, vpred, entropy):
    grouped = known["scores"].view(-1, GENERATIONS)
    deviation = {"group": grouped.std(1, keepdim=True), "batch": grouped.std()}
    advantages = grouped - grouped.mean(1, keepdim=True)
    if keys["scale_rewards"] != "none":
        advantages = advantages / (deviation[keys["scale_rewards"]] + 1e-4)
    advantages = advantages.reshape(-1)
    told, inputs = trainer(
        GRPOTrainer, new, entropy, beta=keys["beta"], loss_type=keys["loss_type"], entropy_coef=keys["entropy_coef"],
        _entropy_bonus_enabled=keys["entropy_coef"] > 0)
    loss = GRPOTrainer._compute_loss(told, model, inputs | {"advantages": advantages})
    plain = loss + keys["entropy_coef"] * masked_mean(entropy, mask)
    ratio = masked_mean(torch.exp(new - known["logps"]), mask)
    update = {"policy_loss": plain, "entropy": masked_mean(entropy, mask), "clipfrac": clipping(told), "ratio": ratio}
    return loss, update, estimate("k3"), advantages[:, None].expand(8, ROOM), None


def ragged(values):
    return [row[:length].tolist() for row, length in zip(values, lengths)]


def case(keys):
    model.zero_grad()
    head.grad = bias.grad = None
    new, entropy, vpred = (x.masked_fill(~mask, 0) for x in read(keys["temperature"]))
    of = {"ppo": ppo, "rloo": rloo, "grpo": grpo}[keys["algorithm"]]
    loss, update, kl, advantages, returns = of(keys, new, vpred, entropy)
    loss.backward()
    update["approxkl"] = 0.5 * masked_mean((new - known["logps"]) ** 2, mask)
    parameters = [*model.parameters(), head, bias]
    norm = torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()
    coef = keys.get("kl_coef", keys.get("beta"))
    scores = known["scores"].mean()
    cost = -coef * kl.sum(1).mean()
    objective = {
        "kl": kl.sum(1).mean(), "entropy": -known["logps"].sum(1).mean(), "non_score_reward": cost,
        "rlhf_reward": scores + cost, "scores": scores,
    }
    number = lambda x: {k: float(v) for k, v in x.items()}
    return {
        "keys": keys, "objective": number(objective), "update": number(update), "grad_norm": float(norm),
        "advantages": advantages.tolist() if keys["algorithm"] == "rloo" else ragged(advantages),
        "returns": [] if returns is None else ragged(returns), "norm_weight": model.model.norm.weight.grad.tolist(),
        "head_weight": [] if head.grad is None else head.grad[0].tolist(),
    }


common = {"temperature": 1.0, "entropy_coef": 0.0, "cliprange": 0.2}
ppo_keys = common | {"algorithm": "ppo", "kl_coef": 0.1, "kl_estimator": "k1", "gamma": 1.0, "lam": 0.95,
                     "vf_coef": 0.1, "cliprange_value": 0.2, "whiten_rewards": False}
rloo_keys = common | {"algorithm": "rloo", "beta": 0.05, "normalize_advantages": False}
grpo_keys = common | {"algorithm": "grpo", "beta": 0.0, "scale_rewards": "group", "loss_type": "dapo"}
cases = [case(keys) for keys in (
    ppo_keys,
    ppo_keys | {"kl_estimator": "k3", "gamma": 0.9, "whiten_rewards": True, "entropy_coef": 0.05, "vf_coef": 0.7},
    ppo_keys | {"temperature": 0.7, "cliprange": 0.1},
    rloo_keys,
    rloo_keys | {"normalize_advantages": True, "beta": 0.3},
    grpo_keys,
    grpo_keys | {"loss_type": "grpo", "beta": 0.4, "scale_rewards": "batch"},
    grpo_keys | {"loss_type": "dr_grpo", "beta": 0.04, "scale_rewards": "none", "entropy_coef": 0.02},
)]
written = {
    "prompts": prompts, "replies": replies, "finished": finished, "generations": GENERATIONS, "room": ROOM,
    "head": head[0].tolist(), "bias": bias.item(), "scores": known["scores"].tolist(),
    "known": {name: ragged(known[name]) for name in ("logps", "reference", "values")}, "cases": cases,
}
(ROOT / "ppo.json").write_text(json.dumps(written) + "\n")
print(len(cases), "cases")
for found in cases:
    print(found["keys"]["algorithm"], found["update"], found["grad_norm"])
