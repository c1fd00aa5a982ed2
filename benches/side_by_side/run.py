"""Rapport and its peers turn by turn on the same models, rows and settings: `make bench-trl`.

Runs every job in paired rounds, each program in a fresh process, and writes runs/bench/trl.json and the table
of docs/performance.md after each job. Needs cargo, and a Python with venv and pip; the peers' libraries go into
an environment of their own.
"""
import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import venv

import jobs
import measure
import report
from jobs import HERE, ROOT

NEEDED = ["convai2_valid/valid_self_original_no_cands.txt", "gpt2_tokenizer/vocab.json", "gpt2_tokenizer/merges.txt"]
REQUIREMENTS = HERE / "requirements.txt"


def stop(message):
    sys.exit(f"error: {message}")


def environment():
    """The interpreter of an environment with the pinned requirements, made where it is not there yet."""
    if os.environ.get("BENCH_PYTHON"):
        return os.environ["BENCH_PYTHON"]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    name = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder = cache / "rapport-bench" / f"venv-{name}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        print(f"making {folder}: several GB of libraries, once", flush=True)
        try:
            venv.create(folder, with_pip=True, clear=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
        except (subprocess.CalledProcessError, OSError) as error:
            stop(f"{error}; give an interpreter that has the packages of {REQUIREMENTS} as BENCH_PYTHON")
        (folder / "complete").touch()
    return str(python)


def versions(python):
    names = [line.split("==")[0] for line in REQUIREMENTS.read_text().split()]
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names!r}}}))"
    theirs = json.loads(subprocess.check_output([python, "-c", code], text=True))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True, capture_output=True)
    return {"rapport": commit.stdout.strip() or "unknown"} | theirs


def inputs(python, data, folder):
    """Models and rows, written unless what they are made from is unchanged."""
    made_from = hashlib.sha256()
    for path in [HERE / "make_inputs.py", *(data / name for name in NEEDED)]:
        made_from.update(path.read_bytes())
    stamp = folder / "made_from"
    if stamp.exists() and stamp.read_text() == made_from.hexdigest():
        return
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, HERE / "make_inputs.py", "--data", data, "--out", folder], check=True)
    stamp.write_text(made_from.hexdigest())


def build():
    """Both programs' paths, from the profile that every other command uses."""
    def executable(name, *target):
        command = ["cargo", "build", "--message-format=json-render-diagnostics", *target]
        output = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout
        messages = map(json.loads, output.splitlines())
        return next(m["executable"] for m in messages
                    if m.get("executable") and m["target"]["name"] == name)
    return executable("rapport", "--bin", "rapport"), executable("jobs", "--bench", "jobs")


def once(runner, bench):
    """One process of one program, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder:
        return runner(bench, pathlib.Path(folder))


def show(name, round_, who, result):
    print(f"{name:13} {round_:>9} {who:28} {result['value']:9.2f}/s {result['peak_gb']:6.2f} GB "
          f"{result['wall_s']:6.1f} s", flush=True)


def loss_difference(rounds):
    """Over all steps of all rounds, against the default, which computes in f32 like ours."""
    pairs = [pair for a in rounds for pair in zip(a["ours"]["losses"], a["trl"]["losses"], strict=True)]
    return max(abs(ours - theirs) for ours, theirs in pairs)


def equal_tokens(rounds):
    """The share of generated tokens that are the same."""
    rows = [pair for a in rounds for pair in zip(a["ours"]["tokens"], a["trl"]["tokens"], strict=True)]
    tokens = [x == y for ours, theirs in rows for x, y in zip(ours, theirs, strict=True)]
    return sum(tokens) / len(tokens)


def compare(name, job, bench, count, known_best):
    """A job of two programs: which of the other's settings is fastest, unless that is known, then the rounds."""
    best, tried = "default", {}
    if known_best in job.theirs:
        best = known_best
    elif len(job.theirs) > 1:
        for setting, runner in job.theirs.items():
            result = once(runner, bench)
            show(name, "trial", setting, result)
            tried[setting] = result["value"]
        best = max(tried, key=tried.get)
    rounds = []
    for index in range(count):
        turns = {"ours": job.ours, "trl": job.theirs["default"]}
        if best != "default":
            turns["trl_best"] = job.theirs[best]
        found = {}
        for who, runner in turns.items():
            found[who] = once(runner, bench)
            show(name, f"{index + 1} of {count}", {"trl_best": best}.get(who, who), found[who])
        rounds.append(found)
    result = {"title": job.title, "unit": job.unit, "ours": measure.median([a["ours"] for a in rounds], "value")}
    result["trl"] = measure.median([a["trl"] for a in rounds], "value")
    result["spread"], sides = {}, [("", "trl")]
    if len(job.theirs) > 1:
        if best == "default":
            for found in rounds:
                found["trl_best"] = found["trl"]
        result["trl_best"] = measure.median([a["trl_best"] for a in rounds], "value")
        result |= {"best_setting": best, "trials": tried}
        sides.append(("_best", "trl_best"))
    for suffix, side in sides:
        for key, of in [("ratio", "value"), ("memory_ratio", "peak_gb")]:
            result[key + suffix], result["spread"][key + suffix] = measure.ratio(rounds, "ours", side, of)
    if "losses" in rounds[0]["ours"]:
        result["max_loss_difference"] = loss_difference(rounds)
    else:
        result["equal_tokens"] = equal_tokens(rounds)
        for found in rounds:
            for side in found.values():
                side.pop("tokens", None)
    if "reference_s" in rounds[0]["ours"]:
        result["ratio_with_reference"] = with_reference(rounds)
    if "one_by_one" in rounds[0]["ours"]:
        alone = [{"tree": a["ours"], "alone": {"value": a["ours"]["one_by_one"]}} for a in rounds]
        result["one_by_one"] = measure.median([a["ours"] for a in rounds], "one_by_one")
        result["ratio_alone"], result["spread"]["ratio_alone"] = measure.ratio(alone, "tree", "alone")
    result["rounds"] = rounds
    return result | judged(result, job.targets)


def with_reference(rounds):
    """The ratio when our pass for the reference is counted as part of the one epoch it served, which TRL's default
    spends within its steps; the pass includes opening the model."""
    def counted(found):
        steps = found["seconds"]
        share = found["reference_s"] / len(steps)
        step = measure.after_the_first(steps)
        return found["value"] * step / (step + share)
    return measure.median([{"v": counted(a["ours"])} for a in rounds], "v") / measure.median(
        [a["trl"] for a in rounds], "value")


def judged(result, targets):
    met = {key: result[key] <= target if key.startswith("memory") else result[key] >= target
           for key, target in targets.items()}
    return {"targets": targets, "met": met}


def scale(bench, count):
    rounds = []
    for index in range(count):
        found = once(jobs.scale, bench)
        rounds.append(found)
        for point in found["points"]:
            print(f"scale         {index + 1} of {count}  {point['times']:3}x {point['tokens']:8} tokens "
                  f"{point['seconds']:7.2f} s {point['peak_gb']:6.2f} GB", flush=True)
    points = [found[0] | {key: measure.median(found, key) for key in ["seconds", "wall_s", "peak_gb"]}
              for found in zip(*(a["points"] for a in rounds))]
    start, slope, deviation = measure.line_fit([(p["tokens"], p["seconds"]) for p in points])
    return {"points": points, "intercept_s": start, "seconds_per_token": slope,
            "largest_deviation": deviation, "rounds": rounds}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [*jobs.JOBS, "scale", *jobs.MODEL_JOBS]
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="of training in each round; the first is not timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--best", help="the other program's fastest setting, where it was found before")
    parser.add_argument("--model", type=pathlib.Path, help="a folder with a pre-trained model: its jobs are run instead")
    parser.add_argument("--jobs", nargs="*", choices=known, metavar="JOB", help=", ".join(known))
    args = parser.parse_args()
    chosen = args.jobs or [*jobs.MODEL_JOBS] if args.model else args.jobs or [*jobs.JOBS, "scale"]
    if args.rounds < 1 or args.steps < 2 or args.threads < 1:
        stop("expected ROUNDS of at least 1, STEPS of at least 2 and THREADS of at least 1")
    missing = [name for name in NEEDED if not (args.data / name).exists()]
    if missing:
        stop(f"{args.data} has no {', '.join(missing)}: set DATA to a folder with ConvAI2's validation dialogues "
             "and GPT-2's tokenizer under these names")
    if args.model and not (args.model / "config.json").exists():
        stop(f"{args.model} has no config.json: expected a model folder as MODEL")
    if not args.model and (without := sorted({*chosen} & {*jobs.MODEL_JOBS})):
        stop(f"{', '.join(without)}: expected a folder with a pre-trained model as MODEL")
    runs = ROOT / "runs/bench"
    runs.mkdir(parents=True, exist_ok=True)
    rapport, library = build()
    python = environment()
    inputs(python, args.data, runs / "inputs")
    measure.pin(args.threads)
    bench = jobs.Bench(runs / "inputs", rapport, library, python, args.steps, args.threads)
    path = runs / "trl.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    failed = []
    for name in chosen:
        busy = measure.busy()
        if busy > 0.05:
            print(f"{name}: other work takes {busy:.0%} of the processors; the result will say so", flush=True)
        try:
            if name == "scale":
                found = scale(bench, args.rounds)
            elif name in jobs.JOBS:
                found = compare(name, jobs.JOBS[name], bench, args.rounds, args.best)
            else:
                of_model = dataclasses.replace(bench, model=args.model.absolute())
                found = compare(name, jobs.MODEL_JOBS[name], of_model, args.rounds, args.best)
                found["title"] = f"{args.model.resolve().name}: {found['title']}"
        except measure.Failed as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        results |= {name: found | {"busy_before": busy}, "machine": measure.machine(), "versions": versions(python)}
        results = {key: results[key] for key in [*known, "machine", "versions"] if key in results}
        unfinished = path.with_suffix(".writing")
        unfinished.write_text(json.dumps(results, indent=1) + "\n")
        unfinished.replace(path)
        report.rewrite(ROOT / "docs/performance.md", results)
    if results:
        print(report.markdown(results))
    if failed:
        stop(f"no result of: {', '.join(failed)}")


if __name__ == "__main__":
    main()
