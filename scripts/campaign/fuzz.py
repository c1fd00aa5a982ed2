"""Damaged input for every reader, and what the program makes of it: a message, or a finding."""
import collections
import concurrent.futures
import os
import pathlib
import random
import shutil
import socketserver
import tempfile
import threading
import time

import limits
import mutate
import readers

SECONDS = 5  # a message has to come within
ENDLESS = 3  # for what may be asked for endless work
KEPT = 200  # inputs before a case's store is emptied


class Special(str):
    """What stands in a file's place: missing, a folder, a FIFO, a device or a link to itself."""


def place_special(path, kind):
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind != "missing":
        path.symlink_to(kind)


SPECIAL = [Special(kind) for kind in ("missing", "folder", "fifo", "loop", "/dev/zero", "/dev/null", "/dev/urandom")]


class Answers(socketserver.ThreadingTCPServer):
    """Answers every request with the same bytes."""
    allow_reuse_address, daemon_threads = True, True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = b""
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(socketserver.StreamRequestHandler):
    timeout = 5

    def handle(self):
        try:
            length = 0
            while (line := self.rfile.readline(1 << 16)).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            self.wfile.write(self.server.answer)
        except OSError:
            pass


class Case:
    """One reader's folder of one worker."""

    def __init__(self, reader, binary, place):
        self.reader, self.binary = reader, binary
        self.folder = place / reader.name
        self.folder.mkdir(parents=True)
        reader.build(self.folder)
        self.server = Answers() if reader.server else None
        if self.server:
            recipe = self.folder / "recipe.toml"
            recipe.write_text(recipe.read_text().replace(":1/v1", f":{self.server.server_address[1]}/v1"))
        self.inputs = 0

    def command(self):
        return [self.binary, *self.reader.command]

    def put(self, data):
        if self.server:
            self.server.answer = data
            for path in [*self.folder.glob("runs/.artifacts/judge-*"), *self.folder.glob("runs/**/.judge")]:
                shutil.rmtree(path, ignore_errors=True)
            return
        target = self.folder / self.reader.target
        if target.is_dir() and not target.is_symlink():
            target.rmdir()
        else:
            target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, Special):
            place_special(target, data)
            return
        target.write_bytes(self.reader.wrap(data) if self.reader.wrap else data)

    def run(self, data):
        self.inputs += 1
        if self.inputs % KEPT == 0 and not self.reader.target.startswith("runs"):
            shutil.rmtree(self.folder / "runs", ignore_errors=True)
        self.put(data)
        seconds = ENDLESS if self.reader.endless else SECONDS
        outcome = limits.run(self.command(), self.folder, seconds)
        if outcome.what == "hang":
            if self.reader.endless:
                outcome.what = "stopped"
            else:
                # Once more, in case the machine was busy.
                self.put(data)
                outcome = limits.run(self.command(), self.folder, 2 * seconds)
        return outcome


def draw_input(reader, seed, at):
    if at == 0:
        return reader.seeds[0]
    draw = random.Random(f"{seed}:{reader.name}:{at}")
    if draw.random() < 0.01 and not reader.server:
        return draw.choice(SPECIAL)
    return mutate.mutate(draw.choice(reader.seeds), draw, reader.seeds, reader.words, reader.values)


class Campaign:
    def __init__(self, binary, seed, out, only=None, at=None):
        self.binary, self.seed, self.out = binary, seed, out
        self.readers = [reader for reader in readers.all_readers() if not only or reader.name in only]
        self.at = at
        self.counts = collections.defaultdict(collections.Counter)
        self.found = {}
        self.slowest = {}
        self.lock = threading.Lock()
        self.next = collections.Counter()

    def turn(self, turn):
        """The reader whose turn it is, and the number of its input."""
        reader = self.readers[turn % len(self.readers)]
        return reader, turn // len(self.readers) if self.at is None else self.at

    def work(self, worker, workers, until):
        shared = pathlib.Path("/dev/shm")
        base = shared if os.access(shared, os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix="rapport-fuzz-", dir=base) as place:
            cases = {}
            turn = worker
            while time.monotonic() < until and (self.at is None or turn < len(self.readers)):
                reader, at = self.turn(turn)
                turn += workers
                if reader.name not in cases:
                    cases[reader.name] = Case(reader, self.binary, pathlib.Path(place))
                case = cases[reader.name]
                data = draw_input(reader, self.seed, at)
                began = time.monotonic()
                outcome = case.run(data)
                self.note(case, at, data, outcome, time.monotonic() - began)

    def note(self, case, at, data, outcome, seconds):
        name = case.reader.name
        with self.lock:
            self.counts[name]["inputs"] += 1
            self.counts[name][outcome.what] += 1
            self.slowest[name] = max(self.slowest.get(name, 0), seconds)
            if at == 0 and case.reader.sound and outcome.what in ("failed", "bad input"):
                outcome.what = "sound input refused"
            if not outcome.finding:
                return
            key = (name, outcome.what, outcome.where())
            if key in self.found:
                self.found[key][0] += 1
                return
            kept = self.out / f"{name}-{at}"
            self.found[key] = [1, kept]
            print(f"found: {name}: {outcome.what}: {key[2]}  ({kept})", flush=True)
            self.keep(case, at, data, outcome, kept)

    def keep(self, case, at, data, outcome, kept):
        shutil.rmtree(kept, ignore_errors=True)
        left_out = ["runs"] + ([pathlib.Path(case.reader.target).name] if isinstance(data, Special) else [])
        shutil.copytree(case.folder, kept, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
        if case.server:
            (kept / "answer.http").write_bytes(case.server.answer)
        (kept / "stderr").write_bytes(outcome.err[-20_000:])
        again = f"python3 scripts/faults.py fuzz --seed {self.seed} --only {case.reader.name} --at {at}"
        by_hand = " ".join(["rapport", *case.reader.command])
        instead = f"{case.reader.target} is {data}\n" if isinstance(data, Special) else ""
        (kept / "AGAIN").write_text(f"{outcome.what} (exit code {outcome.code})\n{instead}{again}\nor here: {by_hand}\n")

    def run(self, minutes, workers):
        until = time.monotonic() + 60 * minutes
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            done = [pool.submit(self.work, worker, workers, until) for worker in range(workers)]
        for work in done:
            work.result()
        return self.table()

    def table(self):
        """Prints what was found; returns how many different findings there are."""
        columns = ["inputs", "done", "bad input", "failed", "panic", "abort", "hang", "control characters"]
        print(f"\n{'reader':24}" + "".join(f"{column:>11.10}" for column in columns) + "    slowest")
        total = collections.Counter()
        for name in sorted(self.counts):
            counts = self.counts[name]
            total.update(counts)
            print(f"{name:24}" + "".join(f"{counts[column]:11}" for column in columns) + f"{self.slowest[name]:9.1f} s")
        print(f"{'all':24}" + "".join(f"{total[column]:11}" for column in columns))
        for (name, what, where), (count, kept) in sorted(self.found.items(), key=str):
            print(f"{count:6} x {name}: {what}: {where}  ({kept})")
        return len(self.found)
