"""Writes when transformers stops early, and which looks it takes for the best: tests/fixtures/stopping.json.

    pip install torch transformers==5.24.0
    python scripts/make_stopping_references.py
"""

import json
import math
import pathlib
import random
from types import SimpleNamespace

from transformers import EarlyStoppingCallback, Trainer, TrainerControl, TrainerState

OUT = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "stopping.json"


def case(values, greater, patience, threshold):
    args = SimpleNamespace(greater_is_better=greater, metric_for_best_model="eval_x", save_strategy="steps")
    trainer = SimpleNamespace(args=args, state=TrainerState())
    callback = EarlyStoppingCallback(patience, threshold)
    control = TrainerControl()
    stops, best = None, []
    for look, value in enumerate(values, start=1):
        metrics = {"eval_x": math.nan if value is None else value}
        callback.on_evaluate(args, trainer.state, control, metrics)
        if Trainer._determine_best_metric(trainer, metrics, None):
            best.append(look)
        if control.should_training_stop:
            stops = look
            break
    return dict(values=values, greater_is_better=greater, patience=patience, threshold=threshold, stops=stops, best=best)


def main():
    draw = random.Random(7)
    sequences = [[1.0, 0.9, 0.8, 0.7], [0.7, 0.8, 0.9], [0.5, 0.5, 0.5], [0.5], [1.0, 0.95, 0.9, 0.85, 0.8],
                 [None, 0.5, 0.6, 0.4], [0.5, None, None, 0.4], [-1.0, 1.0, -1.0, 1.0], [0.0, 1e-9, 2e-9, 3e-9]]
    sequences += [[round(draw.uniform(0, 1), 2) for _ in range(8)] for _ in range(6)]
    cases = [case(values, greater, patience, threshold)
             for values in sequences for greater in [False, True]
             for patience, threshold in [(1, 0.0), (2, 0.0), (2, 0.1), (3, 0.05)]]
    OUT.write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n")


main()
