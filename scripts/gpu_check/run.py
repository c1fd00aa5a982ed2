"""The steps of scripts/gpu_check.sh, which says what they are for.

Each step has a time limit of its own within the whole; one that fails is a row of the table, not the end. Everything is
printed as it becomes known, so that a run which is cut off has still said something; OUT/gpu_check.json is written anew
after each step. Exits with 1 if a step failed.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import inputs

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures"
TOLERANCE = 1e-3  # of f32 losses between backends, as tests/backends.rs has it

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("binary", nargs="?", type=pathlib.Path, default=ROOT / "target/release/rapport")
parser.add_argument("--seconds", type=float, default=360)
parser.add_argument("--out", type=pathlib.Path, help="where gpu_check.json goes; by default nowhere but a scratch folder")
parser.add_argument("--rehearse", action="store_true", help="tiny models, to try the script itself")
args = parser.parse_args()

BACKEND = os.environ.get("BACKEND", "cuda")
BF16 = BACKEND != "flex" or not args.rehearse
BINARY = str(args.binary.resolve())
started = time.monotonic()
rows, making = [], []


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def environment():
    """This one, and where CUDA's headers and runtime compiler are: of the toolkit, or of the wheels that torch brings."""
    found = importlib.util.find_spec("nvidia")
    wheels = [pathlib.Path(place) for place in found.submodule_search_locations or []] if found else []
    env = dict(os.environ)
    headers = [path.parents[1] for place in wheels for path in place.rglob("include/cuda_fp16.h")]
    if headers and "CUDA_PATH" not in env and not pathlib.Path("/usr/local/cuda/include").is_dir():
        env["CUDA_PATH"] = str(headers[0])
    libraries = [str(path.parent) for place in wheels for path in sorted(place.rglob("libnvrtc.so*"))[:1]]
    env["LD_LIBRARY_PATH"] = ":".join(filter(None, [env.get("LD_LIBRARY_PATH"), *libraries]))
    return env


def left():
    return args.seconds - (time.monotonic() - started)


ENVIRONMENT = environment()


def gpu_memory():
    """Megabytes in use on the first GPU, by nvidia-smi; None without one."""
    try:
        told = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
                              capture_output=True, text=True, timeout=10)
        return int(told.stdout.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


class Watch:
    """The largest rise of the GPU's memory while it is entered, in GB."""

    def __enter__(self):
        self.before, self.peak, self.done = gpu_memory(), None, threading.Event()
        self.thread = threading.Thread(target=self.poll, daemon=True)
        if self.before is not None:
            self.thread.start()
        return self

    def poll(self):
        while not self.done.wait(0.2):
            now = gpu_memory()
            if now is not None:
                self.peak = max(self.peak or 0, now - self.before)

    def __exit__(self, *_):
        self.done.set()

    def gb(self):
        return None if self.peak is None else round(self.peak / 1000, 2)


def call(command, limit):
    """Runs a command within its own limit and what is left of the whole; returns its standard output."""
    limit = min(limit, left() - 2)
    if limit < 3:
        raise Failed("no time was left")
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace",
                              timeout=limit, env=ENVIRONMENT)
    except subprocess.TimeoutExpired:
        raise Failed(f"took longer than {limit:.0f} s") from None
    except OSError as error:
        raise Failed(str(error)) from None
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n")
        last = (done.stderr.strip() or done.stdout.strip() or "said nothing").splitlines()[-1]
        raise Failed(f"exit code {done.returncode}: {last[:160]}")
    return done.stdout


def step(name, work):
    """Does one step, prints it and keeps it as a row."""
    began = time.monotonic()
    print(f"== {name} ({time.monotonic() - started:.0f} s)")
    try:
        row = {"step": name, "state": "ok", **(work() or {})}
    except Failed as error:
        row = {"step": name, "state": "failed", "note": str(error)}
    except Skipped as error:
        row = {"step": name, "state": "skipped", "note": str(error)}
    except Exception as error:  # a fault of this script's is a row as well
        row = {"step": name, "state": "failed", "note": f"{type(error).__name__}: {error}"}
    row["took_s"] = round(time.monotonic() - began, 1)
    rows.append(row)
    print(json.dumps(row))
    told = {"backend": BACKEND, "binary": BINARY, "seconds": time.monotonic() - started, "rows": rows}
    (out / "gpu_check.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


def metrics(folder):
    with open(folder / "metrics.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def doctor():
    told = call([BINARY, "doctor"], 60)
    print(told)
    states = [line for line in told.splitlines() if line.startswith(f"{BACKEND} ")]
    if not states or not states[0].endswith("works"):
        raise Failed(states[0] if states else f"doctor does not know {BACKEND}")
    return {"note": "works", "flex": any(line.split() == ["flex", "works"] for line in told.splitlines())}


def fixture(recipe, fixture, rows, **more):
    """Trains the fixture's model in f32 and compares each step's loss with flex's, or with TRL's, which flex is held to."""
    def losses(backend):
        place = work / f"{fixture}-{backend}"
        expected = json.loads((FIXTURES / fixture / "expected.json").read_text(encoding="utf-8"))
        sets = {"model.path": FIXTURES / "trl_dpo/model", "data.train": FIXTURES / fixture / rows,
                "data.shuffle": "false", "train.per_device_train_batch_size": expected["batch"],
                "train.max_steps": len(expected["steps"]), "train.lr_scheduler_type": "constant",
                "train.bf16": "false"}
        for key in ["learning_rate", "weight_decay", "max_grad_norm", "adam_epsilon", "beta", "center_rewards_coefficient"]:
            if expected.get(key) is not None:
                sets[f"train.{key}"] = expected[key]
        sets |= {key.replace("__", "."): value for key, value in more.items()}
        call([BINARY, "run", recipe, "--backend", backend, "--experiments", ROOT / "experiments",
              "--runs", place / "runs", "--out", place / "out",
              *(part for key, value in sets.items() for part in ("--set", f"{key}={value}"))], 90)
        return [line["loss"] for line in metrics(place / "out")], [line["loss"] for line in expected["steps"]]

    def compare():
        ours, trl = losses(BACKEND)
        other, name = trl, "TRL"
        if has_flex and BACKEND != "flex":
            other, name = losses("flex")[0], "flex"
        difference = max(abs(a - b) for a, b in zip(ours, other, strict=True))
        note = f"largest loss difference to {name} over {len(ours)} steps: {difference:.1e}"
        print(*(f"{a:.6f} {b:.6f}" for a, b in zip(ours, other)), sep="\n")
        if not difference <= TOLERANCE:
            raise Failed(f"{note}, more than {TOLERANCE:.0e}")
        return {"note": note, "difference": difference}

    return compare


def speed(seconds, tokens, pairs, losses, memory):
    """What a run's steps come to: the second half's, by which every shape has been compiled and tuned."""
    half = len(seconds) // 2
    return {"step_ms": round(1000 * statistics.median(seconds[half:]), 1), "first_step_s": round(seconds[0], 2),
            "tokens_per_s": round(sum(tokens[half:]) / sum(seconds[half:])),
            "pairs_per_s": round(pairs * len(seconds[half:]) / sum(seconds[half:]), 1),
            "memory_gb": memory, "losses": losses}


def make(name):
    def run():
        steps = inputs.write(work / name, name, args.rehearse, BF16)
        # Half a billion random weights take a while on one core: the run that needs them waits for this one's lock.
        making.append(subprocess.Popen([BINARY, "run", work / name / "start.toml", "--backend", BACKEND, "--runs", work / name / "runs"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT))
        return {"note": f"{steps} steps"}
    return run


def ours(name):
    def run():
        place = work / name
        with Watch() as watch:
            call([BINARY, "run", place / "recipe.toml", "--backend", BACKEND, "--runs", place / "runs",
                  "--out", place / "out"], 120)
        lines = metrics(place / "out")
        seconds = [line["seconds"] for line in lines]
        # Rates are of the whole step: these give back what was counted.
        tokens = [line["tokens_per_s"] * line["seconds"] for line in lines]
        return speed(seconds, tokens, inputs.BATCH, [line["loss"] for line in lines], watch.gb())
    return run


def theirs(name):
    def run():
        if not has_torch:
            raise Skipped("this Python has no torch and transformers")
        place = work / name
        found = [path.parent for path in (place / "runs/.artifacts").glob("scratch-*/**/config.json")]
        if not found:
            raise Failed("our side left no model to start from")
        with Watch() as watch:
            call([sys.executable, pathlib.Path(__file__).parent / "torch_dpo.py", found[0], place / "ids.jsonl",
                  place / "torch.json", *([] if BF16 else ["--f32"])], 90)
        told = json.loads((place / "torch.json").read_text(encoding="utf-8"))
        row = speed(told["seconds"], told["tokens"], inputs.BATCH, told["losses"], watch.gb())
        own = next((row for row in rows if row["step"] == f"{name}: {BACKEND}" and row["state"] == "ok"), None)
        note = f"torch {told['torch']}"
        if own:
            apart = max(abs(a - b) for a, b in zip(own["losses"], told["losses"], strict=True))
            note += (f"; ours takes {own['pairs_per_s'] / row['pairs_per_s']:.2f} times as many pairs/s; "
                     f"losses differ by at most {apart:.1e}")
        return {**row, "torch_peak_gb": told["torch_peak_gb"], "note": note}
    return run


def table():
    columns = ["step", "state", "step_ms", "first_step_s", "tokens_per_s", "pairs_per_s", "memory_gb", "note"]
    cells = [columns] + [["" if row.get(key) is None else str(row[key]) for key in columns] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
    work = pathlib.Path(scratch)
    out = args.out or work
    out.mkdir(parents=True, exist_ok=True)
    step("doctor", doctor)
    has_flex = rows[0].get("flex", False)
    for name in inputs.MODELS:
        step(f"{name}: inputs", make(name))
    step("f32 losses: dpo", fixture("dpo", "trl_dpo", "pairs.jsonl"))
    for name in inputs.MODELS:
        step(f"{name}: {BACKEND}", ours(name))
    has_torch = subprocess.run([sys.executable, "-c", "import torch, transformers"], capture_output=True).returncode == 0
    for name in inputs.MODELS:
        step(f"{name}: torch", theirs(name))
    step("f32 losses: sft", fixture("sft", "trl_sft", "rows.jsonl", data__group="none"))
    step("f32 losses: reward", fixture("reward", "trl_reward", "pairs.jsonl"))
    for process in making:
        process.kill()
        process.wait()
    print()
    table()
sys.exit(any(row["state"] == "failed" for row in rows))
