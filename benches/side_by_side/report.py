"""The table and the curve of docs/performance.md."""
import curve

BEGIN, END = "<!-- side-by-side:begin -->", "<!-- side-by-side:end -->"


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(value, spread, target, met):
    """A ratio with its spread over rounds, and what it should be."""
    text = f"{number(value)} ({number(spread['min'])}-{number(spread['max'])})"
    return f"{text}, target {target}: {'met' if met else '**missed**'}" if target else text


def compared(job):
    """The row of a job with two programs."""
    targets, met, spread = job["targets"], job["met"], job["spread"]

    def cell(key):
        return times(job[key], spread[key], targets.get(key), met.get(key)) if key in job else "-"

    check = (f"{job['max_loss_difference']:.1e}" if "max_loss_difference" in job
             else f"{100 * job['equal_tokens']:.1f}% of tokens equal")
    best = f"{number(job['trl_best'])} ({job['best_setting']})" if "trl_best" in job else "-"
    return [f"{job['title']}, {job['unit']}", number(job["ours"]), number(job["trl"]), best,
            cell("ratio"), cell("ratio_best"), cell("memory_ratio"), check]


HEAD = ["job", "Rapport", "other, default", "other, best", "ratio", "ratio to best", "peak memory, share",
        "largest loss difference"]


def rows(cells):
    return "| " + " | ".join(cells) + " |"


def markdown(results):
    """The section between the marks."""
    machine, versions = results["machine"], results["versions"]
    about = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [f"{machine['cpu']}, {machine['cores']} cores used, {machine['memory_gb']} GB, "
             f"{' '.join(machine['flags'])}; {about}.", ""]
    table = [job for job in results.values() if "trl" in job and "ours" in job]
    if table:
        lines += [rows(HEAD), rows(["---"] * len(HEAD))] + [rows(compared(job)) for job in table]
        counts = sorted({len(job["rounds"]) for job in table})
        lines += ["", f"Paired rounds: {' to '.join(str(count) for count in counts)}."]
    counted = [f"{number(job['ratio_with_reference'])} ({name})" for name, job in results.items()
               if "ratio_with_reference" in job]
    if counted:
        lines += ["", "With our pass for the reference counted into the one epoch that it serves, the ratio to the "
                      f"default is {', '.join(counted)}."]
    for name, job in results.items():
        if job.get("busy_before", 0) > 0.05:
            lines += ["", f"**While `{name}` was measured, other work took {job['busy_before']:.0%} of the "
                          "processors: its figures are not to be relied on.**"]
    if "rank" in results:
        job = results["rank"]
        lines += ["", f"Our own program ranks {number(job['one_by_one'])} candidates a second one by one; one tree is "
                      f"{times(job['ratio_alone'], job['spread']['ratio_alone'], None, None)} times as fast. Its loss "
                      "difference is that of summed log-probs."]
    if "scale" in results:
        job = results["scale"]
        lines += ["", "| data | rows | tokens computed | seconds | ms a token | peak GB |", rows(["---"] * 6)]
        lines += [rows([f"{p['times']}x", str(p["rows"]), str(p["tokens"]), f"{p['seconds']:.1f}",
                        f"{1e3 * p['seconds'] / p['tokens']:.3f}", f"{p['peak_gb']:.2f}"]) for p in job["points"]]
        lines += ["", f"The line through these has {1e3 * job['seconds_per_token']:.2f} ms a token and is "
                      f"off by at most {100 * job['largest_deviation']:.1f}%.", "",
                  "![Seconds over tokens](scale.svg)"]
    return "\n".join(lines)


def rewrite(path, results):
    """Puts the section in its place."""
    if "scale" in results:
        job = results["scale"]
        line = (job["intercept_s"], job["seconds_per_token"])
        path.with_name("scale.svg").write_text(curve.svg(job["points"], line), encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}", encoding="utf-8")
