"""Renders the templates of tests/fixtures/jinja.json again by the environment of transformers and rewrites their texts.

A template that transformers refuses has no text. Run with transformers 5.24 and Jinja2 3.1:

    python scripts/make_template_references.py
"""

import datetime
import json
import pathlib

import transformers.utils.chat_template_utils as chat


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


if __name__ == "__main__":
    chat.datetime = Day
    path = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "jinja.json"
    fixture = json.loads(path.read_text())
    for case in fixture["cases"]:
        case["text"] = render(case["template"], fixture["variables"])
    path.write_text(json.dumps(fixture, indent=0))
