"""transformers scoring candidate replies: summed log-prob of each, one by one or a padded batch at a time."""
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import peer

args = peer.arguments(__doc__).parse_args()
peer.start(args)
tokenizer = AutoTokenizer.from_pretrained(args.model)
dtype = torch.bfloat16 if args.bf16 else torch.float32
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()


def encode(prompt, candidate):
    """Tokens of both, the end token after them, and how many are the prompt's."""
    before = len(tokenizer(prompt)["input_ids"])
    return tokenizer(prompt + candidate)["input_ids"] + [tokenizer.eos_token_id], before


@torch.inference_mode()
def score(batch):
    length = max(len(ids) for ids, _ in batch)
    padded = torch.tensor([ids + [tokenizer.eos_token_id] * (length - len(ids)) for ids, _ in batch])
    mask = torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids, _ in batch])
    logits = model(input_ids=padded, attention_mask=mask).logits[:, :-1].float()
    found = torch.log_softmax(logits, -1).gather(2, padded[:, 1:, None])[..., 0]
    return [found[row, before - 1 : len(ids) - 1].sum().item() for row, (ids, before) in enumerate(batch)]


pairs = [encode(row["prompt"], candidate) for row in peer.read(args.rows) for candidate in row["candidates"]]
score(pairs[: args.batch])
began = time.perf_counter()
logps = []
for first in range(0, len(pairs), args.batch):
    logps += score(pairs[first : first + args.batch])
seconds = time.perf_counter() - began
peer.write(args, value=len(pairs) / seconds, seconds=[seconds], losses=logps)
