"""Kills, full disks, damaged stores, closed streams, a second run beside and clocks that are off, over every stage kind.

What is right is always the same: after it, the same command ends with the bytes of an undisturbed run, or says why not.
"""
import collections
import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import limits
import readers

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 120  # of one run, which takes a few
# What the same computation says differently each time, and what describes bytes that hold it.
VARYING = {"tokens_per_s", "pairs_per_s", "eps", "created", "varying", "name", "files", "seal"}
# Made on the way to what a stage leaves: not made again where that is there.
SIDE_PRODUCTS = ("reference-logps-",)
IDENTITY = ("kind", "hash", "inputs", "settings", "backend")


def files_recipe(folder):
    """The recipe over a user's files, and the files."""
    readers.model(folder / "model")
    readers.scorer(folder / "scoring")
    (folder / "scoring/model").rename(folder / "scorer")
    shutil.rmtree(folder / "scoring")
    for name, seed in {"preferences.jsonl": "rows/preferences.jsonl", "completions.jsonl": "rows/completions.jsonl",
                       "labels.jsonl": "rows/labels.jsonl", "convai2.txt": "dialogues/convai2.txt",
                       "items.jsonl": "dialogues/nli_items.jsonl", "rated.jsonl": "table/rated.jsonl",
                       "recipe.toml": "recipe/files.toml"}.items():
        (folder / name).write_bytes(*readers.corpus(seed))
    recipe = (folder / "recipe.toml").read_bytes()
    readers.star(folder)
    (folder / "recipe.toml").write_bytes(recipe)


def test_recipe(name):
    def prepare(folder):
        shutil.copy(ROOT / f"tests/recipes/{name}.toml", folder / "recipe.toml")
    return prepare


# Each with what makes it take a second or two.
RECIPES = {
    "tiny": (test_recipe("tiny"), []), "guardrail": (test_recipe("guardrail"), []), "nli": (test_recipe("nli"), []),
    "ppo": (test_recipe("ppo"), []), "files": (files_recipe, []),
    "filter": (test_recipe("filter"), []),
    "reward": (test_recipe("reward"), ["all.max_steps=4", "each.max_steps=4", "feedback.margin=0.0"]),
}


def same(path):
    """A file's bytes without what varies between equal runs."""
    data = path.read_bytes()
    try:
        if path.name == "artifact.json":
            manifest = json.loads(data)
            return [manifest[key] for key in IDENTITY]
        if path.name == "measures.json":
            return strip(json.loads(data))
        if path.name == "metrics.jsonl":
            return [strip(json.loads(line)) for line in data.splitlines()]
    except (ValueError, KeyError, AttributeError):  # damaged
        pass
    return hashlib.sha256(data).hexdigest()


def strip(value):
    return {key: item for key, item in value.items() if key not in VARYING and not key.startswith("seconds")}


def content(folder):
    """Every file of every artifact, and what the summary says was measured."""
    root = folder / "runs/.artifacts"
    # Locks and caches begin with a dot; what is under way or was put aside has one.
    finished = [path for path in sorted(root.iterdir()) if "." not in path.name and not path.name.startswith(SIDE_PRODUCTS)]
    found = {str(path.relative_to(root)): same(path) for folder in finished for path in sorted(folder.rglob("*")) if path.is_file()}
    summary = json.loads((folder / "runs/recipe/sandbox/summary.json").read_bytes())
    found["summary"] = [summary.get(key) for key in ("metrics", "claims", "tables")]
    return found


def apart(expected, found):
    return [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]


def difference(expected, found):
    names = apart(expected, found)
    return f"{len(names)} files differ, such as {', '.join(names[:3])}" if names else None


class Wrong(Exception):
    pass


class Bench:
    """One recipe with its undisturbed result."""

    def __init__(self, name, binary, place):
        self.name, self.binary, self.place = name, binary, place
        prepare, self.sets = RECIPES[name]
        self.sound = place / "sound"
        self.sound.mkdir(parents=True)
        prepare(self.sound)
        began = time.monotonic()
        outcome = limits.run(self.command(), self.sound, SECONDS)
        self.seconds = time.monotonic() - began
        if outcome.what != "done":
            raise Wrong(f"undisturbed: {outcome.what}: {outcome.where()}")
        self.expected = content(self.sound)

    def command(self):
        sets = [part for it in self.sets for part in ("--set", it)]
        return [self.binary, "run", "recipe.toml", "--runs", "runs", *sets]

    def fresh(self, with_runs):
        """A folder to break: the recipe and its files, with the finished runs or without."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.place))
        ignore = None if with_runs else shutil.ignore_patterns("runs")
        shutil.copytree(self.sound, folder, dirs_exist_ok=True, symlinks=True, ignore=ignore)
        return folder

    def goes_on(self, folder):
        """Runs to the end, undisturbed, and compares."""
        outcome = limits.run(self.command(), folder, SECONDS)
        if outcome.what != "done":
            raise Wrong(f"the next run: {outcome.what}: {outcome.where()}")
        if told := difference(self.expected, content(folder)):
            raise Wrong(f"the next run ended well, but {told}")

    def goes_on_after(self, told, folder):
        """As goes_on, after what is told, which stands before what is wrong and is returned."""
        try:
            self.goes_on(folder)
        except Wrong as wrong:
            raise Wrong(f"{told}: {wrong}") from None
        return told


def broke(outcome, *allowed):
    if outcome.what not in allowed:
        raise Wrong(f"{outcome.what} (exit code {outcome.code}): {outcome.where()}")


# ---------------------------------------------------------------------------------------------- ways of breaking things

def kill(bench, draw):
    """Killed at any moment, again and again."""
    folder = bench.fresh(False)
    killed = []
    for _ in range(draw.randint(1, 4)):
        process = limits.start(bench.command(), folder)
        pause = draw.uniform(0, 1.1 * bench.seconds)
        killed.append(round(pause, 3))
        try:
            process.wait(pause)
        except subprocess.TimeoutExpired:
            pass
        limits.end(process)
        process.communicate()
    bench.goes_on(folder)
    return f"killed after {killed} s"


def stop(bench, draw):
    """Asked to end by Ctrl-C or a job system: it says so, and the next run goes on."""
    folder = bench.fresh(False)
    process = limits.start(bench.command(), folder)
    pause = draw.uniform(0.05, bench.seconds)
    try:
        process.wait(pause)
    except subprocess.TimeoutExpired:
        limits.end(process, draw.choice([signal.SIGINT, signal.SIGTERM]))
    outcome = limits.finish(process, 30)
    # Before its handler stands, a signal ends it as any program.
    early = outcome.what == "abort" and outcome.code in (-signal.SIGINT, -signal.SIGTERM) and pause < 0.3
    if not early:
        broke(outcome, "done", "stopped")
    bench.goes_on(folder)
    return f"asked to end after {pause:.2f} s"


def full_disk(bench, draw):
    """A disk that is full at any moment: an error that says so, and nothing lost."""
    folder = bench.fresh(False)
    if draw.random() < 0.5 and os.geteuid() == 0:
        size = draw.randint(64, 3000)
        (folder / "runs").mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", folder / "runs"], capture_output=True)
        if mounted.returncode == 0:
            try:
                outcome = limits.run(bench.command(), folder, SECONDS)
                broke(outcome, "done", "failed")
                more = subprocess.run(["mount", "-o", "remount,size=200m", folder / "runs"], capture_output=True)
                if more.returncode == 0:
                    bench.goes_on(folder)
            finally:
                subprocess.run(["umount", "-l", folder / "runs"], capture_output=True)
            return f"a disk of {size} kB: {outcome.what}"
    size = draw.choice([0, 1, 100, draw.randint(0, 3000), draw.randint(0, 200_000)])
    outcome = limits.run(bench.command(), folder, SECONDS, file_size=size)
    broke(outcome, "done", "failed")
    bench.goes_on(folder)
    return f"files of at most {size} bytes: {outcome.what}"


def damage(path, draw):
    """Changes one file as a bad disk does, or a user who tidies up."""
    data = bytearray(path.read_bytes())
    way = draw.choice(["flip", "flip", "cut", "empty", "delete", "append", "zero"])
    if way == "delete":
        path.unlink()
        return way
    if way == "flip" and data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif way == "cut" and data:
        del data[draw.randrange(len(data)):]
    elif way == "empty":
        data.clear()
    elif way == "append":
        data += bytes(draw.choices(range(256), k=16))
    elif data:
        start = draw.randrange(len(data))
        data[start:start + 512] = bytes(len(data[start:start + 512]))
    path.write_bytes(bytes(data))
    return way


def damaged_store(bench, draw):
    """A file of a finished artifact is damaged, and others that need it are due again."""
    folder = bench.fresh(True)
    root = folder / "runs/.artifacts"
    artifacts = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    path = draw.choice(sorted(it for artifact in artifacts for it in artifact.rglob("*") if it.is_file()))
    own = next(artifact for artifact in artifacts if artifact in path.parents)
    for artifact in artifacts:
        # What a side product is for is due again, or nobody reads it.
        due = own.name.startswith(SIDE_PRODUCTS) and not artifact.name.startswith(SIDE_PRODUCTS)
        if artifact != own and (due or draw.random() < 0.4):
            shutil.rmtree(artifact)
    name = str(path.relative_to(root))
    told = f"{damage(path, draw)} {name}"
    outcome = limits.run(bench.command(), folder, SECONDS)
    if outcome.what == "done" and apart(bench.expected, content(folder)) == [name]:
        # No stage that was due reads it, so it is left to `verify`, which reads all.
        outcome = limits.run([bench.binary, "verify", "--runs", "runs"], folder, SECONDS)
        if outcome.what not in ("failed", "bad input") or path.name.encode() not in outcome.out + outcome.err:
            raise Wrong(f"{told}: the next run left it, and verify does not find it: {outcome.where()}")
        return told
    return bench.goes_on_after(told, folder)


def damaged_checkpoint(bench, draw):
    """A file of unfinished work is damaged."""
    folder = bench.fresh(False)
    process = limits.start(bench.command(), folder)
    try:
        process.wait(draw.uniform(0.2, 1) * bench.seconds)
    except subprocess.TimeoutExpired:
        pass
    limits.end(process)
    process.communicate()
    parts = sorted(path for path in (folder / "runs/.artifacts").glob("*.partial/**/*") if path.is_file())
    if not parts:
        return "nothing was under way"
    path = draw.choice(parts)
    told = f"{damage(path, draw)} {path.relative_to(folder / 'runs/.artifacts')}"
    return bench.goes_on_after(told, folder)


def streams(bench, draw):
    """Output that nobody reads, or that cannot be written: what trains goes on."""
    folder = bench.fresh(False)
    which, way = draw.choice(["stdout", "stderr"]), draw.choice(["closed reader", "full"])
    if way == "full":
        with open("/dev/full", "wb") as full:
            outcome = limits.finish(limits.start(bench.command(), folder, **{which: full}), SECONDS)
    else:
        process = limits.start(bench.command(), folder)
        getattr(process, which).close()
        setattr(process, which, None)
        outcome = limits.finish(process, SECONDS)
    told = f"{which}: {way}"
    pipe = outcome.code == -signal.SIGPIPE and which == "stdout"
    if not pipe and outcome.what not in ("done", "failed"):
        raise Wrong(f"{told}: {outcome.what} (exit code {outcome.code}): {outcome.where()}")
    if which == "stderr" and outcome.what != "done":
        raise Wrong(f"{told}: the run ended with {outcome.what}")
    if different := difference(bench.expected, content(folder)):
        raise Wrong(f"{told}: {different}")
    return told


def beside(bench, draw):
    """The same command twice at once."""
    folder = bench.fresh(False)
    first = limits.start(bench.command(), folder)
    time.sleep(draw.uniform(0, bench.seconds))
    second = limits.start(bench.command(), folder)
    one = threading.Thread(target=lambda: outcomes.append(limits.finish(first, SECONDS)))
    outcomes = []
    one.start()
    outcomes.append(limits.finish(second, SECONDS))
    one.join()
    for outcome in outcomes:
        broke(outcome, "done")
    if different := difference(bench.expected, content(folder)):
        raise Wrong(different)


def clock(bench, draw):
    """Files from the future or from 1970."""
    folder = bench.fresh(True)
    at = draw.choice([0, time.time() + 10 * 365 * 86_400])
    for path in folder.rglob("*"):
        os.utime(path, (at, at))
    bench.goes_on(folder)


WAYS = {"kill": kill, "stop": stop, "full-disk": full_disk, "damaged-store": damaged_store, "damaged-checkpoint": damaged_checkpoint,
        "streams": streams, "beside": beside, "clock": clock}


class Campaign:
    def __init__(self, binary, seed, out, only=None, at=None):
        self.binary, self.seed, self.out, self.at = binary, seed, out, at
        named = set(only or [])
        self.ways = [name for name in WAYS if name in named] or list(WAYS)
        self.recipes = [name for name in RECIPES if name in named] or list(RECIPES)
        self.counts = collections.Counter()
        self.found = []
        self.lock = threading.Lock()

    def work(self, worker, workers, until, place):
        benches = {}
        for turn in [self.at] if self.at is not None else itertools.count(worker, workers):
            if time.monotonic() > until:
                return
            draw = random.Random(f"{self.seed}:{turn}")
            way = self.ways[turn % len(self.ways)]
            recipe = draw.choice(self.recipes)
            own = place / f"{worker}-{recipe}"
            try:
                if recipe not in benches:
                    shutil.rmtree(own, ignore_errors=True)
                    benches[recipe] = Bench(recipe, self.binary, own)
                WAYS[way](benches[recipe], draw)
                self.note(way, recipe, turn, None)
            except Wrong as wrong:
                self.note(way, recipe, turn, str(wrong))
            self.sweep(own)

    def sweep(self, place):
        for folder in place.iterdir():
            if folder.name != "sound":
                shutil.rmtree(folder, ignore_errors=True)

    def note(self, way, recipe, turn, wrong):
        with self.lock:
            self.counts[way, "tried"] += 1
            if wrong is None:
                return
            self.counts[way, "found"] += 1
            line = f"{way}: {recipe}, turn {turn}: {wrong}"
            self.found.append(line)
            print(f"found: {line}", flush=True)
            with open(self.out / "breaking.txt", "a", encoding="utf-8") as file:
                file.write(f"seed {self.seed}: {line}\n")

    def run(self, minutes, workers):
        shared = pathlib.Path("/dev/shm")
        base = shared if os.access(shared, os.W_OK) else None
        until = time.monotonic() + 60 * minutes
        with tempfile.TemporaryDirectory(prefix="rapport-break-", dir=base) as place:
            alone = 1 if self.at is not None else workers
            with concurrent.futures.ThreadPoolExecutor(alone) as pool:
                done = [pool.submit(self.work, worker, workers, until, pathlib.Path(place)) for worker in range(alone)]
            for work in done:
                work.result()
        print(f"\n{'way':24}{'tried':>8}{'found':>8}")
        for way in self.ways:
            print(f"{way:24}{self.counts[way, 'tried']:8}{self.counts[way, 'found']:8}")
        return len(self.found)
