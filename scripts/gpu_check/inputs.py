"""Seeded rows of random words, a tokenizer for them, and the recipe that makes and trains a random model on them."""
import json
import random

END = "<|endoftext|>"
STEPS, BATCH, BETA = 20, 8, 0.1
LEARNING_RATE, WEIGHT_DECAY, EPSILON = 1e-5, 0.1, 1e-8

# Shapes: the 30M model of bench-trl, and a Llama of Qwen2.5-0.5B's sizes; prompts and replies as long as PersonaChat's.
MODELS = {
    "30M": dict(words=50_257, hidden=384, inner=1024, layers=6, heads=6, kv_heads=6),
    "0.5B": dict(words=151_936, hidden=896, inner=4864, layers=24, heads=14, kv_heads=2),
}
LENGTHS = dict(prompt=(100, 240), reply=(6, 20))
TINY = dict(words=200, hidden=32, inner=64, layers=2, heads=4, kv_heads=2)
TINY_LENGTHS = dict(prompt=(6, 12), reply=(2, 5))

HEAD = """\
title = "GPU check"
seeds = [1]
outputs = {outputs}
"""
MODEL = """\
[stage.tokenizer]
kind = "tokenizer"
per_seed = false
path = {tokenizer}
[stage.scratch]
kind = "scratch"
per_seed = false
tokenizer = "@tokenizer"
model_type = "llama"
hidden_size = {hidden}
intermediate_size = {inner}
num_hidden_layers = {layers}
num_attention_heads = {heads}
num_key_value_heads = {kv_heads}
"""
TRAIN = """\
[stage.data]
kind = "preferences"
per_seed = false
model = "@scratch"
train = {rows}
shuffle = false
[stage.train]
kind = "dpo"
model = "@scratch"
data = "@data"
beta = {beta}
learning_rate = {learning_rate}
lr_scheduler_type = "constant"
weight_decay = {weight_decay}
adam_epsilon = {epsilon}
per_device_train_batch_size = {batch}
max_steps = {steps}
bf16 = {bf16}
metric_for_best_model = "none"
"""


def write_tokenizer(folder, words):
    """The words t1, t2, ... become their numbers; 0 ends a text."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {END: 0} | {f"t{i}": i for i in range(1, words)}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None,
                 "added_tokens": [{"id": 0, "content": END, "single_word": False, "lstrip": False, "rstrip": False,
                                   "normalized": False, "special": True}],
                 "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
                 "decoder": None, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": END}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END, "pad_token": END}), encoding="utf-8")


def write(folder, name, rehearse, bf16):
    """Writes tokenizer, rows.jsonl, recipe.toml and, for torch, ids.jsonl (each completion with the token that ends it);
    and start.toml, which makes the random model alone, so that it can be made while other things are tried."""
    shape, lengths = (TINY, TINY_LENGTHS) if rehearse else (MODELS[name], LENGTHS)
    steps = 3 if rehearse else STEPS
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer", shape["words"])
    draw = random.Random(name)

    def words(bounds):
        return [draw.randrange(1, shape["words"]) for _ in range(draw.randint(*bounds))]

    def text(ids):
        return " ".join(f"t{i}" for i in ids)

    with open(folder / "rows.jsonl", "w", encoding="utf-8") as rows, \
            open(folder / "ids.jsonl", "w", encoding="utf-8") as ids:
        for _ in range(steps * BATCH):
            prompt, chosen, rejected = words(lengths["prompt"]), words(lengths["reply"]), words(lengths["reply"])
            rows.write(json.dumps({"prompt": text(prompt), "chosen": " " + text(chosen),
                                   "rejected": " " + text(rejected)}) + "\n")
            ids.write(json.dumps({"prompt": prompt, "chosen": chosen + [0], "rejected": rejected + [0]}) + "\n")
    sizes = {key: value for key, value in shape.items() if key != "words"}
    values = dict(tokenizer=json.dumps(str(folder / "tokenizer")), rows=json.dumps(str(folder / "rows.jsonl")), beta=BETA,
                  learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY, epsilon=EPSILON, batch=BATCH, steps=steps,
                  bf16=str(bf16).lower(), **sizes)
    for file, text, output in [("start.toml", HEAD + MODEL, "scratch"), ("recipe.toml", HEAD + MODEL + TRAIN, "train")]:
        (folder / file).write_text(text.format(outputs=json.dumps([output]), **values), encoding="utf-8")
    return steps
