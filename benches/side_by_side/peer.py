"""What the drivers of the other program share. Imports little, since it counts as memory."""
import argparse
import json
import statistics

import torch


def arguments(description):
    """Arguments of every driver."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rows", required=True, help="JSON Lines, taken in file order")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--json", required=True, help="where the result goes")
    return parser


def start(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def after_the_first(seconds):
    """Median over the steps after the first, which warms caches and allocators up."""
    return statistics.median(seconds[1:] or seconds)


def write(args, **result):
    with open(args.json, "w", encoding="utf-8") as out:
        json.dump(result, out)
