"""Compare the losses of two DPO (or SFT) runs, step by step.

    python scripts/check_trl_dpo.py OURS THEIRS [--steps 20]

Each file is a metrics.jsonl with one `loss` a line, or JSON with a list of `losses` or of `steps` that
have a `loss`. Prints the difference at each step and the largest over all; exits with 1 if a step
differs by more than --limit, or one of the first five by more than --first-limit.
"""
import argparse
import json
import sys

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("ours")
parser.add_argument("theirs")
parser.add_argument("--steps", type=int, help="compare so many steps; by default all, which must be equally many")
parser.add_argument("--limit", type=float, default=1e-3)
parser.add_argument("--first-limit", type=float, default=1e-4)
args = parser.parse_args()


def losses(path):
    text = open(path).read()
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(value, dict):
        value = value["losses"] if "losses" in value else value.get("steps", [value])
    rows = [row["loss"] if isinstance(row, dict) else row for row in value
            if not isinstance(row, dict) or "loss" in row]
    return rows[: args.steps]


ours, theirs = losses(args.ours), losses(args.theirs)
if not ours or len(ours) != len(theirs) or len(ours) < (args.steps or 0):
    sys.exit(f"{len(ours)} losses in {args.ours}, {len(theirs)} in {args.theirs}: not the same steps")
worst, failed = 0.0, False
print("step      ours    theirs  difference")
for step, (a, b) in enumerate(zip(ours, theirs), 1):
    limit = args.first_limit if step <= 5 else args.limit
    bad = not abs(a - b) <= limit  # also when either is not a number
    worst, failed = max(worst, abs(a - b)), failed or bad
    print(f"{step:4} {a:9.6f} {b:9.6f} {abs(a - b):11.2e}{'  over the limit' if bad else ''}")
print(f"largest difference {worst:.2e}")
sys.exit(1 if failed else 0)
