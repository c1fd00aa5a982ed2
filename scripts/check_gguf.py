"""Compares a GGUF file with the model folder that it was exported from.

    pip install torch transformers gguf xllamacpp
    rapport export DIR --gguf F16 --out FILE
    python scripts/check_gguf.py DIR FILE [--reference OTHER] [--prompt "..."] [--tokens 24] [--tolerance 0.05]

What is compared: all keys and tensors with those of OTHER, what `convert_hf_to_gguf.py` of llama.cpp made of the same
folder, bit by bit; the logits that transformers computes from the file (which it turns back) with those of the folder; each
text's ids by llama.cpp with those of the folder's tokenizer; and llama.cpp's greedy reply to a message, in the chat template
of the file, with that of transformers. xllamacpp is llama.cpp with its server, ready built; without it the last two are left
out, and said so.
"""

import argparse
import json
import os
import sys
import urllib.request

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
    import xllamacpp
except ImportError:
    sys.exit("xllamacpp is not there: texts and replies are not compared")
tokenizer = AutoTokenizer.from_pretrained(args.dir)
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.port, params.verbosity = args.file, 512, 0, 0
server = xllamacpp.Server(params)


def ask(route, **body):
    request = urllib.request.Request(server.listening_address + route, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def same_ids(text, special):
    expected = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = ask("/tokenize", content=text, add_special=False, parse_special=special)["tokens"]
    assert found == expected, (text, found, expected)
    return expected


for text in TEXTS:
    same_ids(text, False)
wanted = {"max_tokens": args.tokens, "temperature": 0, "logprobs": 1}
if tokenizer.chat_template is None:
    prompt = args.prompt
    found = ask("/v1/completions", prompt=prompt, **wanted)["choices"][0]
else:
    assert fields["tokenizer.chat_template"] == tokenizer.chat_template
    messages = [{"role": "user", "content": args.prompt}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert ask("/apply-template", messages=messages)["prompt"] == prompt
    found = ask("/v1/chat/completions", messages=messages, **(wanted | {"logprobs": True}))["choices"][0]
ids = same_ids(prompt, True)
with torch.inference_mode():
    reply = model.generate(torch.tensor([ids]), max_new_tokens=args.tokens, do_sample=False)[0, len(ids):].tolist()
theirs = [token["id"] for token in found["logprobs"]["content"]]
print(f"transformers: {tokenizer.decode(reply)!r}\nllama.cpp:    {tokenizer.decode(theirs)!r} ({found['finish_reason']})")
same = next((at for at, (a, b) in enumerate(zip(reply, theirs)) if a != b), None)
if same is not None:
    with torch.inference_mode():
        logps = model(torch.tensor([ids + reply[:same]])).logits[0, -1].log_softmax(-1)
    gap = (logps[reply[same]] - logps[theirs[same]]).item()
    print(f"they part at token {same}, where transformers has the two {gap:.3f} nats apart")
    # llama.cpp computes with activations in eight bits where weights are.
    assert gap < (0.3 if "Q8_0" in kinds else 0.02)
elif reply[-1] == tokenizer.eos_token_id:
    assert found["finish_reason"] == "stop", "llama.cpp does not know what ends a reply"
