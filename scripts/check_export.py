"""Open a model folder with transformers and print its logits, to compare with ours.

    python scripts/check_export.py DIR --ids 5,17,3 --ids 8 [--greedy 16]
    python scripts/check_export.py DIR --text "some text" [--text ...]
    python scripts/check_export.py DIR --scores SCORES.jsonl --texts ROWS.jsonl

Prints {"cases": [{"ids": [...], "logits": [[...], ...], "greedy": [...]}, ...]}, logits for every
position, in f32 with eager attention. Fails if a weight is missing from the folder or left over.

The second form prints {"tokens": [[...]], "eos": ..., "stops": ..., "dtype": ...}: the ids that AutoTokenizer gives each
text, its EOS, what ends a generation, and the type that the model opens in.

The third form opens a folder with a scoring head and compares what `rapport score DIR ROWS.jsonl` wrote for rows of
prompt and completion with transformers' scores for all of them in one batch, padded left and right.

The folder of an adapter is opened by PEFT, beside the base that it names.
"""
import argparse
import json
import pathlib
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dir")
parser.add_argument("--ids", action="append", default=[], help="token ids with commas; may be repeated")
parser.add_argument("--text", action="append", default=[], help="text to tokenise; may be repeated")
parser.add_argument("--scores", help="what rapport score wrote")
parser.add_argument("--texts", help="the rows that it scored")
parser.add_argument("--greedy", type=int, default=0, help="also generate so many tokens, without stopping")
args = parser.parse_args()

if args.text:
    tokenizer = AutoTokenizer.from_pretrained(args.dir)
    model = AutoModelForCausalLM.from_pretrained(args.dir)
    print(json.dumps({"tokens": [tokenizer(text)["input_ids"] for text in args.text], "eos": tokenizer.eos_token_id,
                      "stops": model.generation_config.eos_token_id, "dtype": str(model.dtype)}))
    sys.exit()
kind = AutoModelForSequenceClassification if args.scores else AutoModelForCausalLM
adapter = pathlib.Path(args.dir, "adapter_config.json")
base = json.loads(adapter.read_text())["base_model_name_or_path"] if adapter.exists() else args.dir
model, info = kind.from_pretrained(base, config=AutoConfig.from_pretrained(args.dir), dtype=torch.float32,
                                   attn_implementation="eager", output_loading_info=True)
faults = {key: sorted(map(str, value)) for key, value in info.items() if value}
if adapter.exists():
    from peft import PeftModel
    # A head that the base lacks is the adapter's.
    faults.pop("missing_keys", None)
    model = PeftModel.from_pretrained(model, args.dir)
if faults:
    sys.exit(f"{args.dir}: transformers reports {json.dumps(faults)}")
model.eval()
if args.scores:
    tokenizer = AutoTokenizer.from_pretrained(args.dir)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = [json.loads(line) for line in open(args.texts, encoding="utf-8")]
    ours = [json.loads(line)["scores"] for line in open(args.scores, encoding="utf-8")]
    labels = [model.config.id2label[at] for at in range(model.config.num_labels)]
    ours = torch.tensor([[scores[label] for label in labels] for scores in ours], dtype=torch.float64)
    for side in ["left", "right"]:
        batch = tokenizer([row.get("prompt", "") + row["completion"] for row in rows], padding=True, padding_side=side,
                          return_tensors="pt")
        positions = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = model(batch["input_ids"], attention_mask=batch["attention_mask"], position_ids=positions).logits
        if model.config.problem_type == "single_label_classification":
            theirs = logits.double().softmax(-1)
        else:
            theirs = (torch.tensor(model.config.score_centre) + torch.tensor(model.config.score_scale) * logits.double())
        print(json.dumps({"rows": len(rows), "outputs": labels, "padding": side,
                          "largest_difference": (ours - theirs).abs().max().item()}))
    sys.exit()
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
