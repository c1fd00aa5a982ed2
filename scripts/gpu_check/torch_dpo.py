"""DPO steps as TRL takes them, in a plain loop: both completions padded side by side, reference log-probs computed once.

    python torch_dpo.py MODEL IDS OUT [--f32]

Prints nothing; OUT is JSON: seconds, losses and tokens of each step, and the peak of torch's memory.
"""
import argparse
import contextlib
import json
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

import inputs

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("ids")
parser.add_argument("out")
parser.add_argument("--f32", action="store_true")
args = parser.parse_args()

device = "cuda" if torch.cuda.is_available() else "cpu"
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32, attn_implementation="sdpa").to(device)
model.config.use_cache = False
model.train()
matrices = [p for p in model.parameters() if p.dim() > 1]
vectors = [p for p in model.parameters() if p.dim() <= 1]
optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": inputs.WEIGHT_DECAY},
                               {"params": vectors, "weight_decay": 0.0}],
                              lr=inputs.LEARNING_RATE, eps=inputs.EPSILON, fused=True)
with open(args.ids, encoding="utf-8") as file:
    rows = [json.loads(line) for line in file]
batches = [rows[at:at + inputs.BATCH] for at in range(0, len(rows), inputs.BATCH)]


def lay_out(batch):
    """Chosen above rejected, padded on the right: ids, attention mask, and which tokens are scored."""
    pairs = [(row["prompt"], row[side]) for side in ("chosen", "rejected") for row in batch]
    width = max(len(prompt) + len(reply) for prompt, reply in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.long)
    mask, scored = torch.zeros_like(ids), torch.zeros(len(pairs), width, dtype=torch.bool)
    for at, (prompt, reply) in enumerate(pairs):
        end = len(prompt) + len(reply)
        ids[at, :end] = torch.tensor(prompt + reply)
        mask[at, :end] = 1
        scored[at, len(prompt):end] = True
    return ids.to(device), mask.to(device), scored.to(device)


def logps(ids, mask, scored):
    """Summed log-prob of each completion: [2 * batch]."""
    with torch.autocast(device, torch.bfloat16) if not args.f32 else contextlib.nullcontext():
        logits = model(ids, attention_mask=mask).logits[:, :-1]
    token = -F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
    return (token.view(logits.shape[:2]) * scored[:, 1:]).sum(1)


def settle():
    if device == "cuda":
        torch.cuda.synchronize()


with torch.no_grad():
    references = [logps(*lay_out(batch)) for batch in batches]
seconds, losses, tokens = [], [], []
for batch, reference in zip(batches, references):
    settle()
    began = time.perf_counter()
    ids, mask, scored = lay_out(batch)
    chosen, rejected = (logps(ids, mask, scored) - reference).chunk(2)
    loss = -F.logsigmoid(inputs.BETA * (chosen - rejected)).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
    settle()
    seconds.append(time.perf_counter() - began)
    tokens.append(int(mask.sum()))
peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None
with open(args.out, "w", encoding="utf-8") as file:
    json.dump({"seconds": seconds, "losses": losses, "tokens": tokens, "torch_peak_gb": peak,
               "torch": torch.__version__}, file)
