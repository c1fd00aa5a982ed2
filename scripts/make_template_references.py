"""Renders the templates of two fixtures again and rewrites what they give.

tests/fixtures/jinja.json: texts by the environment of transformers. tests/fixtures/chat.json, with the tokenizer of
tests/fixtures/trl_chat: rows whose prompt ends with the assistant's words, as TRL's trainers render them; and the tokens of
conversations with their mask, by `return_assistant_tokens_mask`. What is refused there has nothing here. Run with
transformers 5.24, TRL 1.16 and Jinja2 3.1:

    python scripts/make_template_references.py
"""

import datetime
import functools
import json
import os
import pathlib

import transformers
import transformers.utils.chat_template_utils as chat
import trl

FIXTURES = pathlib.Path(__file__).parent.parent / "tests" / "fixtures"


class Day(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


def render(template, variables):
    given = {"documents": None, "add_generation_prompt": False, **variables}
    try:
        return chat._compile_jinja_template(template).render(**given)
    except Exception:
        return None


def texts(tokenizer, template, row):
    """The texts of a row's prompt and completions, cut where TRL's trainers of text cut them."""
    tokenizer.chat_template = template
    row = trl.extract_prompt(row) if "prompt" not in row else row
    render = functools.partial(tokenizer.apply_chat_template, tokenize=False)
    try:
        prompt = render(row["prompt"], add_generation_prompt=True)
        keys = [key for key in ("chosen", "rejected", "completion") if key in row]
        wholes = [render(row["prompt"] + row[key]) for key in keys]
    except Exception:
        return None
    start = min(len(os.path.commonprefix([prompt, whole])) for whole in wholes)
    return [prompt[:start]] + [whole[start:] for whole in wholes]


def masked(tokenizer, template, row):
    """The tokens of a whole conversation, and whether each is the assistant's and no prompt's."""
    tokenizer.chat_template = template
    given = {"return_dict": True}
    messages = row.get("messages") or row["prompt"] + row["completion"]
    whole = tokenizer.apply_chat_template(messages, return_assistant_tokens_mask=True, **given)
    ids, mask = whole["input_ids"], whole["assistant_masks"]
    if "prompt" in row:
        prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, **given)["input_ids"]
        parted = next((at for at, (a, b) in enumerate(zip(prompt, ids)) if a != b), len(prompt))
        mask = [0] * parted + mask[parted:]
    return {"ids": ids, "mask": mask}


if __name__ == "__main__":
    chat.datetime = Day
    path = FIXTURES / "jinja.json"
    fixture = json.loads(path.read_text())
    for case in fixture["cases"]:
        case["text"] = render(case["template"], fixture["variables"])
    path.write_text(json.dumps(fixture, indent=0))

    path = FIXTURES / "chat.json"
    fixture = json.loads(path.read_text())
    tokenizer = transformers.AutoTokenizer.from_pretrained(FIXTURES / "trl_chat" / "model")
    fixture["tokens"] = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
    for case in fixture["continued"]:
        case["texts"] = texts(tokenizer, case["template"], case["row"])
    for case in fixture["masks"]:
        case.update(masked(tokenizer, case["template"], case["row"]))
    path.write_text(json.dumps(fixture, indent=0))
