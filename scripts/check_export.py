"""Open a model folder with transformers and print its logits, to compare with ours.

    python scripts/check_export.py DIR --ids 5,17,3 --ids 8 [--greedy 16]

Prints {"cases": [{"ids": [...], "logits": [[...], ...], "greedy": [...]}, ...]}, logits for every
position, in f32 with eager attention. Fails if a weight is missing from the folder or left over.
"""
import argparse
import json
import sys

import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dir")
parser.add_argument("--ids", action="append", required=True, help="token ids with commas; may be repeated")
parser.add_argument("--greedy", type=int, default=0, help="also generate so many tokens, without stopping")
args = parser.parse_args()

model, info = AutoModelForCausalLM.from_pretrained(
    args.dir, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
faults = {key: sorted(map(str, value)) for key, value in info.items() if value}
if faults:
    sys.exit(f"{args.dir}: transformers reports {json.dumps(faults)}")
model.eval()
model.generation_config.eos_token_id = None
cases = []
for text in args.ids:
    ids = torch.tensor([[int(part) for part in text.split(",")]])
    with torch.inference_mode():
        case = {"ids": ids[0].tolist(), "logits": model(ids).logits[0].tolist()}
        if args.greedy:
            # A mask of ones, or ids that equal the padding token would count as padding.
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0,
                                 max_new_tokens=args.greedy)
            case["greedy"] = out[0, ids.shape[1]:].tolist()
    cases.append(case)
print(json.dumps({"cases": cases}))
