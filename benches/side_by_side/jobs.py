"""The jobs: how each program is run once, and what is compared."""
import dataclasses
import json
import pathlib
import typing

import measure
from settings import BETA, NEW_TOKENS, TRAINING

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


@dataclasses.dataclass
class Bench:
    """What every job needs to know."""
    inputs: pathlib.Path
    rapport: pathlib.Path
    jobs: pathlib.Path
    python: str
    steps: int
    threads: int
    # A model's folder, or its name among the inputs, for the jobs that name none.
    model: typing.Union[str, pathlib.Path] = "model"

    def folder(self, model):
        return self.inputs / (model or self.model)

    def cut(self, work, name, rows):
        """The first rows of an input as a file of its own, so that no program reads what it does not use."""
        source, target = self.inputs / name, work / name
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        if len(lines) < rows:
            raise measure.Failed(f"{source} has {len(lines)} rows and {rows} are needed: lower STEPS")
        target.write_text("".join(lines[:rows]), encoding="utf-8")
        return target

    def train(self, work, recipe, rows, model=None, data=(), **train):
        """`rapport run` in an empty folder, so that no finished stage is found and reused."""
        keys = {"model.path": self.folder(model), "data.train": rows, "data.shuffle": "false",
                "train.num_train_epochs": 1, "train.save_steps": 0}
        keys |= {f"data.{key}": value for key, value in dict(data).items()}
        keys |= {f"train.{key}": value for key, value in (TRAINING | train).items()}
        command = [self.rapport, "run", recipe, "--experiments", ROOT / "experiments",
                   "--runs", work / "runs", "--out", work / "out"]
        for key, value in keys.items():
            command += ["--set", f"{key}={value}"]
        result = measure.run(command, work / "log")
        lines = [json.loads(line) for line in (work / "out/metrics.jsonl").read_text().splitlines()]
        result["seconds"] = [line["seconds"] for line in lines]
        result["losses"] = [line["loss"] for line in lines]
        result["tokens"] = round(sum(line["seconds"] * line["tokens_per_s"] for line in lines))
        # A pass over the data before the first step: timed apart, as the other program's is.
        passes = [json.loads(path.read_text()) for path in work.glob("runs/.artifacts/reference-logps-*/artifact.json")]
        if passes:
            result["reference_s"] = sum(manifest["seconds"] for manifest in passes)
        return result

    def library(self, work, job, rows, *more, model=None):
        """The bench program, which prints its result."""
        command = [self.jobs, "--model", self.folder(model), "--rows", rows, job, *more]
        result = measure.run(command, work / "log")
        return json.loads((work / "log").read_text().splitlines()[-1]) | result

    def peer(self, work, script, rows, batch, *more, model=None):
        """One of the drivers of the other program."""
        command = [self.python, HERE / script, "--model", self.folder(model), "--rows", rows, "--batch", batch,
                   "--threads", self.threads, "--json", work / "result.json", *more]
        result = measure.run(command, work / "log")
        return json.loads((work / "result.json").read_text()) | result


@dataclasses.dataclass
class Job:
    """One comparison. Each runner takes the bench and an empty folder."""
    title: str
    unit: str
    ours: typing.Callable
    # The first is the other program's default; the fastest of all is its best.
    theirs: dict
    # Least ratios and greatest share of memory.
    targets: dict


def stepped(result, units):
    """Throughput of a training run that has `units` a step."""
    return result | {"value": units / measure.after_the_first(result["seconds"])}


def peer(script, name, batch, *more, rows=None):
    """A driver of the other program over the first rows of an input: those of all steps, unless told how many."""
    return lambda bench, work: bench.peer(
        work, script, bench.cut(work, name, rows or batch * bench.steps), batch, *more)


def dpo(bench, work, **more):
    rows = bench.cut(work, "pairs.jsonl", 4 * bench.steps)
    return stepped(bench.train(work, "dpo", rows, per_device_train_batch_size=4, beta=BETA, **more), 4)


LORA = {"r": 16, "alpha": 32, "dropout": 0.0, "targets": "all-linear"}


def dpo_lora(bench, work):
    """With adapters, whose settings are an inline table of TOML, beside weights that stay in the type of their folder."""
    table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in LORA.items())
    return dpo(bench, work, lora=f"{{ {table} }}", base_dtype="bf16")


def dpo_dialogue(bench, work):
    rows = bench.cut(work, "dialogues.jsonl", 8 * bench.steps)
    data = {"group": "dialogue"}
    return stepped(bench.train(work, "dpo", rows, data=data, per_device_train_batch_size=1, beta=BETA), 8)


def trl_dpo(name, batch, *more):
    return peer("trl_dpo.py", name, batch, *more)


def sft(bench, work):
    rows = bench.cut(work, "chat.jsonl", bench.steps)
    return stepped(bench.train(work, "sft", rows, per_device_train_batch_size=1), 8)


def trl_sft(name, batch, *more):
    return peer("trl_sft.py", name, batch, *more)


def generate(bench, work):
    rows = bench.cut(work, "prompts.jsonl", 64)
    return bench.library(work, "generate", rows, "--new-tokens", NEW_TOKENS)


def hf_generate(batch, *more):
    return peer("hf_generate.py", "prompts.jsonl", batch, *more, rows=64)


def lm(bench, work):
    rows = bench.cut(work, "lm.jsonl", 4 * bench.steps)
    return stepped(bench.train(work, "sft", rows, model="lm_model", per_device_train_batch_size=4), 4 * 255)


def torch_lm(bench, work):
    rows = bench.cut(work, "lm.jsonl", 4 * bench.steps)
    return bench.peer(work, "torch_lm.py", rows, 4, model="lm_model")


def rank(bench, work):
    """30 candidates of a prompt as one tree; and one by one, which goes along."""
    return bench.library(work, "rank", bench.cut(work, "rank.jsonl", 4))


def hf_rank(batch):
    return peer("hf_rank.py", "rank.jsonl", batch, rows=4)


JOBS = {
    "dpo": Job(
        "DPO, random rows, batches of 4", "pairs/s", dpo,
        {"default": trl_dpo("pairs.jsonl", 4),
         "precomputed reference": trl_dpo("pairs.jsonl", 4, "--precompute"),
         "precomputed reference, bf16": trl_dpo("pairs.jsonl", 4, "--precompute", "--bf16")},
        {"ratio": 10, "ratio_best": 8, "memory_ratio": 0.2}),
    "dpo_dialogue": Job(
        "DPO, by dialogue, batches of 8", "pairs/s", dpo_dialogue,
        {"default": trl_dpo("dialogues.jsonl", 8),
         "precomputed reference": trl_dpo("dialogues.jsonl", 8, "--precompute"),
         "precomputed reference, bf16": trl_dpo("dialogues.jsonl", 8, "--precompute", "--bf16")},
        {"ratio": 30, "ratio_best": 24, "memory_ratio": 0.2}),
    "sft": Job(
        "SFT on replies, 8 a batch", "replies/s", sft,
        {"default": trl_sft("replies.jsonl", 8),
         "bf16": trl_sft("replies.jsonl", 8, "--bf16"),
         "conversations": trl_sft("chat.jsonl", 1),
         "conversations, bf16": trl_sft("chat.jsonl", 1, "--bf16")},
        {"ratio": 5, "ratio_best": 2, "memory_ratio": 0.4}),
    "generate": Job(
        f"greedy generation, 64 prompts, {NEW_TOKENS} tokens", "tokens/s", generate,
        {"default": hf_generate(16), "batch 64": hf_generate(64),
         "bf16": hf_generate(16, "--bf16"), "batch 64, bf16": hf_generate(64, "--bf16")},
        {"ratio": 3, "ratio_best": 2, "memory_ratio": 0.5}),
    "lm": Job(
        "language modelling, nothing to share, 4 x 256", "tokens/s", lm, {"default": torch_lm},
        {"ratio": 1, "memory_ratio": 0.7}),
    "rank": Job(
        "ranking 30 candidates of one prompt, the other one by one", "candidates/s", rank,
        {"default": hf_rank(1), "padded batches of 30": hf_rank(30)}, {"ratio": 15}),
}


def sft_dialogue(bench, work):
    rows = bench.cut(work, "replies.jsonl", 8 * bench.steps)
    return stepped(bench.train(work, "sft", rows, data={"group": "dialogue"}, per_device_train_batch_size=1), 8)


# With a pre-trained model, of which the peer takes minutes a step.
MODEL_JOBS = {
    "dpo_model": Job(
        "DPO, all weights, random rows, batches of 4", "pairs/s", dpo,
        {"default": trl_dpo("pairs.jsonl", 4)}, {"ratio": 8, "memory_ratio": 0.25}),
    "dpo_model_dialogue": Job(
        "DPO, all weights, by dialogue, batches of 8", "pairs/s", dpo_dialogue,
        {"default": trl_dpo("dialogues.jsonl", 8)}, {"ratio": 25, "memory_ratio": 0.25}),
    "dpo_model_lora": Job(
        "DPO, LoRA of rank 16 on all linear layers, batches of 4", "pairs/s", dpo_lora,
        {"default": trl_dpo("pairs.jsonl", 4, "--lora", json.dumps(LORA))},
        {"ratio": 10, "memory_ratio": 0.15}),
    "sft_model": Job(
        "SFT on replies, by dialogue, 8 a batch", "replies/s", sft_dialogue,
        {"default": trl_sft("replies.jsonl", 8)}, {"ratio": 15, "memory_ratio": 0.3}),
    "generate_model": Job(
        f"greedy generation, 64 prompts, {NEW_TOKENS} tokens", "tokens/s", generate,
        {"default": hf_generate(16)}, {"ratio": 3, "memory_ratio": 0.5}),
}


SCALE_ROWS, SCALES = 16, [1, 2, 4, 8, 16]


def scale(bench, work):
    """Ours alone: the cost of one epoch of DPO over more and more rows."""
    points = []
    for times in SCALES:
        folder = work / str(times)
        folder.mkdir()
        rows = bench.cut(folder, "pairs.jsonl", SCALE_ROWS * times)
        result = bench.train(folder, "dpo", rows, per_device_train_batch_size=4, beta=BETA)
        points.append({"times": times, "rows": SCALE_ROWS * times, "tokens": result["tokens"],
                       "seconds": sum(result["seconds"]), "wall_s": result["wall_s"],
                       "peak_gb": result["peak_gb"]})
    return {"points": points}
