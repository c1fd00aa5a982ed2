"""Renders the templates of two fixtures again and rewrites what they give.

tests/fixtures/jinja.json: texts by the environment of transformers. tests/fixtures/chat.json, with the tokenizer of
tests/fixtures/trl_chat: rows whose prompt ends with the assistant's words, by TRL's `apply_chat_template`. What is refused there has nothing here. Run with
transformers 5.24, TRL 1.16 and Jinja2 3.1:

    python scripts/make_template_references.py
"""

import datetime
import json
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
    """The texts of a row's prompt and completions."""
    tokenizer.chat_template = template
    try:
        rendered = trl.apply_chat_template(trl.maybe_extract_prompt(row) | label(row), tokenizer)
    except Exception:
        return None
    return [rendered[key] for key in ("prompt", "chosen", "rejected", "completion") if key in rendered]


def label(row):
    return {key: row[key] for key in ("label",) if key in row}


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
    path.write_text(json.dumps(fixture, indent=0))
