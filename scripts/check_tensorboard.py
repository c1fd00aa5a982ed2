"""Reads the event files of a run with TensorBoard and compares them with its metrics.jsonl.

    pip install tensorboard
    rapport run NAME --runs RUNS --tensorboard
    python scripts/check_tensorboard.py RUNS/NAME/PROFILE
"""

import collections
import json
import math
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = pathlib.Path(sys.argv[1])
expected = collections.defaultdict(list)
for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
    stage = line.pop("stage")
    if "seed" in line:
        stage += f"-seed-{line.pop('seed')}"
    step = line.pop("step", None)
    for key, value in line.items():
        if step is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
            tag = f"eval/{key[5:]}" if key.startswith("eval_") else f"train/{key}"
            expected[stage, tag].append((step, value))
found = 0
for stage in sorted(path for path in (run / "tensorboard").iterdir() if path.is_dir()):
    events = EventAccumulator(str(stage), size_guidance={"scalars": 0}).Reload()
    times = []
    for tag in events.Tags()["scalars"]:
        scalars = events.Scalars(tag)
        theirs = [(it.step, it.value) for it in scalars]
        ours = expected.pop((stage.name, tag))
        assert [step for step, _ in theirs] == [step for step, _ in ours], (stage.name, tag)
        assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) for (_, a), (_, b) in zip(theirs, ours)), (stage.name, tag)
        times += [[it.wall_time for it in scalars]]
        found += len(scalars)
    assert all(a <= b for each in times for a, b in zip(each, each[1:])), stage.name
assert not expected, sorted(expected)
print(f"{found} scalars of {run} are those of its metrics.jsonl")
