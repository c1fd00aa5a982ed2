"""Writes what both programs read: two random models, and rows from PersonaChat's validation dialogues.

    python make_inputs.py --data DATA --out OUT

OUT/model     Llama, 30M parameters, GPT-2's tokenizer, tied head
OUT/lm_model  Llama, 87M parameters, 32,000 words, untied head
OUT/*.jsonl   pairs, dialogues, replies, chat, prompts, rank, lm: see `main`
"""
import argparse
import json
import pathlib
import random

import torch
from transformers import GPT2TokenizerFast, LlamaConfig, LlamaForCausalLM

REPLIES = 8  # of each dialogue, where dialogues are kept whole
DIALOGUES = 64
CANDIDATES = 30
LM_ROWS, LM_TOKENS, LM_WORDS = 256, 256, 32_000
END = "<|endoftext|>"

# A dialogue as text: the end-of-text token closes each reply, and the next turn follows it directly.
# A reply's leading space stands before the mark, since the first token of the reply covers it anyway.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}"
    "{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\nBot:' }}"
    "{% else %}{{ ' ' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% endif %}{% endfor %}"
)


def read_dialogues(path):
    """Dialogues as {"persona": [line], "turns": [(user, bot)]}; a line numbered 1 begins a new one."""
    dialogues = []
    for line in path.read_text(encoding="utf-8").splitlines():
        number, text = line.split(" ", 1)
        if number == "1":
            dialogues.append({"persona": [], "turns": []})
        label = "your persona: "
        if text.startswith(label):
            dialogues[-1]["persona"].append(text.removeprefix(label))
        else:
            user, bot = text.split("\t")[:2]
            dialogues[-1]["turns"].append((user, bot))
    return dialogues


def head(dialogue):
    return "Persona:\n" + "".join(f"- {line}\n" for line in dialogue["persona"])


def pairs(dialogue, replies):
    """One pair a reply: the reference reply against one drawn from all; the history keeps the reference."""
    rows, history = [], head(dialogue)
    for user, bot in dialogue["turns"]:
        prompt = f"{history}User: {user}\nBot:"
        rows.append({"prompt": prompt, "chosen": f" {bot}", "rejected": f" {random.choice(replies)}"})
        history = f"{prompt} {bot}\n"
    return rows


def conversation(dialogue):
    """The dialogue's first replies as messages."""
    messages = [{"role": "system", "content": head(dialogue)}]
    for user, bot in dialogue["turns"][:REPLIES]:
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": bot}]
    return {"messages": messages}


def replies_alone(dialogue):
    """The same replies as `conversation` with the same text before each, one a row."""
    rows, history = [], head(dialogue)
    for user, bot in dialogue["turns"][:REPLIES]:
        prompt = f"{history}User: {user}\nBot:"
        rows.append({"prompt": prompt, "completion": f" {bot}"})
        history = f"{prompt} {bot}{END}"
    return rows


def write(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


def llama(**more):
    """Without a padding id: transformers would give that token's embedding no gradient where it is read, and here
    it is the one that ends replies within a conversation."""
    return LlamaForCausalLM(LlamaConfig(max_position_embeddings=1024, **more))


def write_chat_model(data, folder):
    tokenizer = GPT2TokenizerFast(vocab=str(data / "gpt2_tokenizer/vocab.json"),
                                  merges=str(data / "gpt2_tokenizer/merges.txt"))
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = CHAT_TEMPLATE
    end = tokenizer.eos_token_id
    model = llama(vocab_size=len(tokenizer), hidden_size=384, intermediate_size=1024, num_hidden_layers=6,
                  num_attention_heads=6, num_key_value_heads=6, tie_word_embeddings=True,
                  bos_token_id=end, eos_token_id=end)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def write_lm_model(folder):
    """Its tokenizer turns the words t1 to t31999 into their numbers; 0 ends a text."""
    model = llama(vocab_size=LM_WORDS, hidden_size=768, intermediate_size=3072, num_hidden_layers=4,
                  num_attention_heads=12, num_key_value_heads=12, tie_word_embeddings=False,
                  bos_token_id=0, eos_token_id=0)
    model.save_pretrained(folder)
    words = {END: 0} | {f"t{i}": i for i in range(1, LM_WORDS)}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None,
                 "added_tokens": [{"id": 0, "content": END, "single_word": False, "lstrip": False,
                                   "rstrip": False, "normalized": False, "special": True}],
                 "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
                 "decoder": None, "model": {"type": "WordLevel", "vocab": words, "unk_token": END}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END, "pad_token": END}))
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    args.out.mkdir(parents=True, exist_ok=True)

    dialogues = read_dialogues(args.data / "convai2_valid/valid_self_original_no_cands.txt")
    replies = [bot for dialogue in dialogues for _, bot in dialogue["turns"]]
    by_dialogue = [pairs(dialogue, replies) for dialogue in dialogues]
    rows = [row for dialogue in by_dialogue for row in dialogue]
    random.shuffle(rows)
    whole = [i for i, dialogue in enumerate(by_dialogue) if len(dialogue) >= REPLIES][:DIALOGUES]

    # Pairs in random order; and dialogue by dialogue, the first replies of each.
    write(args.out / "pairs.jsonl", rows)
    write(args.out / "dialogues.jsonl", [row for i in whole for row in by_dialogue[i][:REPLIES]])
    # The same replies, each a row, and each dialogue a conversation.
    write(args.out / "replies.jsonl", [row for i in whole for row in replies_alone(dialogues[i])])
    write(args.out / "chat.jsonl", [conversation(dialogues[i]) for i in whole])
    write(args.out / "prompts.jsonl", [{"prompt": row["prompt"]} for row in rows[:256]])
    write(args.out / "rank.jsonl",
          [{"prompt": row["prompt"],
            "candidates": [row["chosen"]] + [f" {reply}" for reply in random.sample(replies, CANDIDATES - 1)]}
           for row in rows[:16]])
    # The end-of-text token that training appends is the last of each row.
    ids = [[random.randrange(1, LM_WORDS) for _ in range(LM_TOKENS - 1)] for _ in range(LM_ROWS)]
    write(args.out / "lm.jsonl",
          [{"text": " ".join(f"t{i}" for i in row), "ids": row + [0]} for row in ids])
    for model in [write_chat_model(args.data, args.out / "model"), write_lm_model(args.out / "lm_model")]:
        print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    print(f"{len(rows)} pairs, {len(whole)} dialogues of {REPLIES} replies")


if __name__ == "__main__":
    main()
