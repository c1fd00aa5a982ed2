"""Processes with their clock and peak memory, and what is made of repeated measurements."""
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time


class Failed(Exception):
    """A process that did not succeed, with the end of what it printed."""


def pin(threads):
    """Keeps this process and its children on so many cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ["OMP_NUM_THREADS", "RAYON_NUM_THREADS"]:
        os.environ[name] = str(threads)
    # Models and rows are local files; without this, each start asks a server about them.
    os.environ["HF_HUB_OFFLINE"] = "1"


def run(command, log):
    """Runs a process to its end: its whole time in seconds, and its largest resident memory in GB."""
    log = pathlib.Path(log)
    began = time.perf_counter()
    with open(log, "wb") as out:
        child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=subprocess.STDOUT)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise Failed(f"{' '.join(map(str, command))}\nended with {child.returncode}:\n{end}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return {"wall_s": time.perf_counter() - began, "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_gb": usage.ru_maxrss * unit / 1e9}


def busy(seconds=1.0):
    """The share of the processors that other work takes at the moment; 0 where the system does not say."""
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():
        return 0.0

    def read():
        ticks = [int(part) for part in stat.read_text().split("\n", 1)[0].split()[1:]]
        return sum(ticks), ticks[3] + ticks[4]

    (before, idle_before), _ = read(), time.sleep(seconds)
    after, idle_after = read()
    return 1 - (idle_after - idle_before) / max(1, after - before)


def median(results, key):
    return statistics.median(result[key] for result in results)


def after_the_first(seconds):
    """Median over the steps after the first, which warms caches and allocators up."""
    return statistics.median(seconds[1:] or seconds)


def ratio(rounds, over, under, key="value"):
    """Ratio of medians; median, least and greatest of the ratios within each round."""
    within = [a[over][key] / a[under][key] for a in rounds]
    of_medians = median([a[over] for a in rounds], key) / median([a[under] for a in rounds], key)
    return of_medians, {"median": statistics.median(within), "min": min(within), "max": max(within)}


def line_fit(points):
    """The line y = a + b x with the least squared deviations, each as a share of its y, since timing errors grow
    with what is timed: a, b, and the largest deviation as a share of the line."""
    rows = [(1 / y, x / y) for x, y in points]
    uu, uv, vv = (sum(f(u, v) for u, v in rows) for f in (lambda u, _: u * u, lambda u, v: u * v, lambda _, v: v * v))
    u, v = (sum(column) for column in zip(*rows))
    scale = uu * vv - uv * uv
    intercept, slope = (u * vv - v * uv) / scale, (v * uu - u * uv) / scale
    deviation = max(abs(y / (intercept + slope * x) - 1) for x, y in points)
    return intercept, slope, deviation


def machine():
    """Processor, cores, memory, and the instructions that decide what bf16 gains."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    cpu = fields.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in fields:
        cpu += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    flags = [flag for flag in ["avx2", "avx512f", "avx512_bf16", "amx_bf16"]
             if flag in fields.get("flags", "").split()]
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": cpu, "cores": cores, "flags": flags, "memory_gb": round(pages / 1e9, 1),
            "system": platform.system()}
