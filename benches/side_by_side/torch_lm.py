"""Plain PyTorch, eager: training steps whose loss is on every token of rows of equal length."""
import time

import torch
from transformers import AutoModelForCausalLM

import peer
from settings import TRAINING

args = peer.arguments(__doc__).parse_args()
peer.start(args)
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
model.config.use_cache = False
model.train()
matrices = [p for p in model.parameters() if p.dim() > 1]
vectors = [p for p in model.parameters() if p.dim() <= 1]
optimizer = torch.optim.AdamW(
    [{"params": matrices, "weight_decay": TRAINING["weight_decay"]},
     {"params": vectors, "weight_decay": 0.0}],
    lr=TRAINING["learning_rate"], eps=TRAINING["adam_epsilon"], fused=True)
ids = torch.tensor([row["ids"] for row in peer.read(args.rows)])
seconds, losses = [], []
for batch in ids.split(args.batch):
    began = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
        logits = model(batch[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), TRAINING["max_grad_norm"])
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
    seconds.append(time.perf_counter() - began)
tokens = args.batch * (ids.shape[1] - 1)
peer.write(args, value=tokens / peer.after_the_first(seconds), seconds=seconds, losses=losses)
