#!/usr/bin/env python3
"""Looks for faults: damaged input for every reader, and kills, full disks, flipped bits and closed streams for every stage.

    python3 scripts/faults.py [fuzz|break] [--binary target/debug/rapport] [--minutes 10] [--seed N]
                              [--only NAME ...] [--at N] [--out DIR]

Without a first word both halves share the minutes, or the one that --only names has them. Prints a table and exits with 1 if anything was found; what was found
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
import readers

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("half", nargs="?", choices=["fuzz", "break"])
parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/debug/rapport")
parser.add_argument("--minutes", type=float, default=10)
parser.add_argument("--seed", type=int, default=int(time.time()), help="by default the time")
parser.add_argument("--only", action="append", metavar="NAME", help="a reader, a way of breaking things, or a recipe to break")
parser.add_argument("--at", type=int, help="this input alone, of the readers that --only names, or this turn of breaking")
parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/faults")
parser.add_argument("--workers", type=int, default=os.cpu_count())
args = parser.parse_args()

binary = args.binary.resolve()
if not binary.is_file():
    parser.error(f"{binary}: no such file; build it or name it with --binary")
known = {reader.name: "fuzz" for reader in readers.all_readers()} | dict.fromkeys([*breaking.WAYS, *breaking.RECIPES], "break")
if unknown := [name for name in args.only or [] if name not in known]:
    parser.error(f"--only {unknown[0]}: expected one of {', '.join(known)}")
halves = [args.half] if args.half else sorted({known[name] for name in args.only or known})
out = args.out.resolve()
out.mkdir(parents=True, exist_ok=True)
minutes = args.minutes / len(halves)
print(f"seed {args.seed}", flush=True)
found = 0
if "fuzz" in halves:
    found += fuzz.Campaign(binary, args.seed, out, args.only, args.at).run(minutes, args.workers)
if "break" in halves:
    found += breaking.Campaign(binary, args.seed, out, args.only, args.at).run(minutes, args.workers)
sys.exit(1 if found else 0)
