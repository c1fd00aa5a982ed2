"""transformers' generate: greedy, a fixed number of new tokens, prompts padded on the left."""
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import peer
from settings import NEW_TOKENS

args = peer.arguments(__doc__).parse_args()
peer.start(args)
tokenizer = AutoTokenizer.from_pretrained(args.model, padding_side="left")
dtype = torch.bfloat16 if args.bf16 else torch.float32
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
prompts = [row["prompt"] for row in peer.read(args.rows)]


@torch.inference_mode()
def generate(batch):
    inputs = tokenizer(batch, return_tensors="pt", padding=True)
    out = model.generate(**inputs, do_sample=False, min_new_tokens=NEW_TOKENS,
                         max_new_tokens=NEW_TOKENS)
    return out[:, inputs["input_ids"].shape[1]:].tolist()


generate(prompts[: args.batch])
began = time.perf_counter()
tokens = []
for first in range(0, len(prompts), args.batch):
    tokens += generate(prompts[first : first + args.batch])
seconds = time.perf_counter() - began
peer.write(args, value=sum(map(len, tokens)) / seconds, seconds=[seconds], tokens=tokens)
