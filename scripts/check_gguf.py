"""Compares a GGUF file with the model folder that it was exported from.

    pip install torch transformers gguf llama-cpp-python
    rapport export DIR --gguf F16 --out FILE
    python scripts/check_gguf.py DIR FILE [--reference OTHER] [--prompt "..."] [--tokens 24] [--tolerance 0.05]

What is compared: all keys and tensors with those of OTHER, what `convert_hf_to_gguf.py` of llama.cpp made of the same
folder, bit by bit; the logits that transformers computes from the file (which it turns back) with those of the folder; each
text's ids by llama.cpp with those of the folder's tokenizer; and the greedy reply of llama.cpp to a prompt in the chat
template with that of transformers. Without llama-cpp-python the last two are left out, and said so.
"""

import argparse
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = ["Hello, world!", " leading and  double  spaces", "It's 12,345.67 km: naïve – 日本語 🙂\n\nnew\tline", "don't they'll WE'RE",
         "def f(x):\n    return x + 1\n", "こんにちは。今日はいい天気ですね。"]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dir")
parser.add_argument("file")
parser.add_argument("--reference")
parser.add_argument("--prompt", default="What is the capital of France?")
parser.add_argument("--tokens", type=int, default=24)
parser.add_argument("--tolerance", type=float, default=0.05, help="of the logits, of their standard deviation")
args = parser.parse_args()

reader = gguf.GGUFReader(args.file)
kinds = {}
for tensor in reader.tensors:
    kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + 1
fields = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
print({key: value for key, value in fields.items() if not isinstance(value, list) and len(str(value)) < 80}, kinds)

if args.reference:
    other = gguf.GGUFReader(args.reference)
    theirs = {key: field.contents() for key, field in other.fields.items() if not key.startswith("GGUF.")}
    for key in sorted(set(fields) | set(theirs)):
        if fields.get(key) != theirs.get(key):
            print(f"{key}: {str(fields.get(key))[:100]}, and {str(theirs.get(key))[:100]} by convert_hf_to_gguf.py")
    tensors = {tensor.name: tensor for tensor in other.tensors}
    for tensor in reader.tensors:
        same = tensors.pop(tensor.name)
        assert (tensor.tensor_type, list(tensor.shape)) == (same.tensor_type, list(same.shape)), tensor.name
        assert (tensor.data == same.data).all(), tensor.name
    assert not tensors, list(tensors)
    print(f"{len(reader.tensors)} tensors are those of convert_hf_to_gguf.py, bit by bit")

model = AutoModelForCausalLM.from_pretrained(args.dir, dtype=torch.float32).eval()
folder, name = os.path.split(os.path.abspath(args.file))
exported = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
ids = torch.tensor([[(7 * at * at + 3 * at + 5) % model.config.vocab_size for at in range(24)]])
with torch.inference_mode():
    ours, theirs = exported(ids).logits, model(ids).logits
difference = ((ours - theirs).abs().max() / theirs.std()).item()
print(f"logits by transformers from the file: greatest difference {difference:.2g} of their deviation")
if not difference < args.tolerance:
    sys.exit("they differ")

try:
    import llama_cpp
except ImportError:
    sys.exit("llama-cpp-python is not there: texts and replies are not compared")
tokenizer = AutoTokenizer.from_pretrained(args.dir)
llama = llama_cpp.Llama(args.file, n_ctx=512, verbose=False, seed=1)
for text in TEXTS:
    expected = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = llama.tokenize(text.encode(), add_bos=False, special=False)
    assert found == expected, (text, found, expected)
if tokenizer.chat_template is None:
    prompt = args.prompt
else:
    assert fields["tokenizer.chat_template"] == tokenizer.chat_template
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": args.prompt}], add_generation_prompt=True, tokenize=False)
ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
assert llama.tokenize(prompt.encode(), add_bos=False, special=True) == ids
with torch.inference_mode():
    reply = model.generate(torch.tensor([ids]), max_new_tokens=args.tokens, do_sample=False)[0, len(ids):]
expected = tokenizer.decode(reply, skip_special_tokens=True)
found = llama(ids, max_tokens=args.tokens, temperature=0)
text, ended = found["choices"][0]["text"], found["choices"][0]["finish_reason"]
print(f"transformers: {expected!r}\nllama.cpp:    {text!r} ({ended})")
assert text == expected
if reply[-1].item() == tokenizer.eos_token_id:
    assert ended == "stop", "llama.cpp does not know what ends a reply"
