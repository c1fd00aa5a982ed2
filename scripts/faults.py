#!/usr/bin/env python3
"""Looks for faults: damaged input for every reader, and kills, full disks, flipped bits and closed streams for every stage.

    python3 scripts/faults.py [fuzz|break] [--binary target/debug/rapport] [--minutes 10] [--seed N]
                              [--only NAME ...] [--at N] [--out DIR]

Without a first word both halves share the minutes. Prints a table and exits with 1 if anything was found; what was found
is kept in OUT (by default runs/faults). docs/faults.md says what is tried and how to look at a finding.
"""
import argparse
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts/campaign"))

import breaking
import fuzz

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("half", nargs="?", choices=["fuzz", "break"])
parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/debug/rapport")
parser.add_argument("--minutes", type=float, default=10)
parser.add_argument("--seed", type=int, default=int(time.time()), help="by default the time")
parser.add_argument("--only", action="append", metavar="NAME", help="a reader, or a way of breaking things")
parser.add_argument("--at", type=int, help="this input alone, of the readers that --only names, or this turn of breaking")
parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/faults")
parser.add_argument("--workers", type=int, default=os.cpu_count())
args = parser.parse_args()

binary = args.binary.resolve()
if not binary.is_file():
    parser.error(f"{binary}: no such file; build it or name it with --binary")
out = args.out.resolve()
out.mkdir(parents=True, exist_ok=True)
minutes = args.minutes if args.half else args.minutes / 2
print(f"seed {args.seed}", flush=True)
found = 0
if args.half != "break":
    found += fuzz.Campaign(binary, args.seed, out, args.only, args.at).run(minutes, args.workers)
if args.half != "fuzz":
    found += breaking.Campaign(binary, args.seed, out, args.only, args.at).run(minutes, args.workers)
sys.exit(1 if found else 0)
