"""Runs the program under limits of time and memory, and says what became of it."""
import os
import re
import resource
import signal
import subprocess

MEMORY = 4 << 30
PANIC = 101
# Tabs and line breaks aside; a program's own colours go to terminals alone, and here is none.
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")


class Outcome:
    """`what` is done, failed (1), bad input (2), or a finding: panic, abort, hang, control characters, exit code N."""

    def __init__(self, what, code, out, err):
        self.what, self.code, self.out, self.err = what, code, out, err

    @property
    def finding(self):
        return self.what not in ("done", "failed", "bad input", "stopped")

    def where(self):
        """What tells one finding from another: where it panicked, or what was said last."""
        if self.what == "control characters":
            return ""
        text = CONTROL.sub(b"?", self.err).decode(errors="replace")
        panic = re.search(r"panicked at (\S+?):(\d+):\d+:?\s*\n?([^\n]{0,60})", text)
        if panic:
            return f"{short(panic[1])}:{panic[2]} {panic[3]}"
        for sign in ("overflowed its stack", "memory allocation of", "fatal runtime error"):
            if sign in text:
                return sign
        return (text.strip().splitlines() or [""])[-1][:120]


def short(path):
    """A source file without where its crate lies."""
    return re.sub(r".*/registry/src/[^/]*/", "", path)


def limit(memory, file_size):
    def apply():
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if file_size is not None:
            # As on a full disk, a write fails rather than ending the process.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        os.setpgid(0, 0)
    return apply


def start(command, folder, memory=MEMORY, file_size=None, env=None, **streams):
    """Starts the program in a process group of its own."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen([str(part) for part in command], cwd=folder, env={**os.environ, **(env or {})},
                            preexec_fn=limit(memory, file_size), **streams)


def end(process, number=signal.SIGKILL):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def finish(process, seconds):
    """Waits for a started program, at most so long."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        end(process)
        out, err = process.communicate()
        return Outcome("hang", None, out or b"", err or b"")
    out, err, code = out or b"", err or b"", process.returncode
    if code == PANIC or b"panicked at" in err:
        return Outcome("panic", code, out, err)
    if code < 0:
        return Outcome("abort", code, out, err)
    if CONTROL.search(err) or CONTROL.search(out):
        return Outcome("control characters", code, out, err)
    known = {0: "done", 1: "failed", 2: "bad input", 130: "stopped"}
    return Outcome(known.get(code, f"exit code {code}"), code, out, err)


def run(command, folder, seconds, **more):
    return finish(start(command, folder, **more), seconds)
