"""Seeded damage to bytes: what disks, editors, other programs and ill will do to a file."""
import json
import re

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
BORDER = re.compile(rb"[%}]}|\|| \+ ")
NUMBERS = [b"0", b"-0", b"-1", b"1", b"2", b"0.5", b"-0.0", b"1e308", b"-1e308", b"1e999", b"1e-400", b"NaN", b"nan", b"inf",
           b"Infinity", b"4294967295", b"4294967296", b"2147483647", b"9223372036854775807", b"-9223372036854775808",
           b"18446744073709551615", b"18446744073709551616", b"340282366920938463463374607431768211456",
           b"1" + b"0" * 400, b"0x10", b"1_000", b"007", b"1e9", b"1000000000"]
BAD_BYTES = [b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"\x1b]0;x\x07", b"\x1b[2J", b"\r", b"\r\n",
             b"\x7f", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xf0\x9f\x92\xa9", b"\\ud800", b"\\u0000", b"\t", b"\n\n\n"]
VALUES = [None, True, False, 0, -1, 1e308, 10**30, "", " ", "\u0000", "x" * 100_000, "\ud800", [], {}, [[]], [None], {"": None},
          "NaN", "1", ["a"] * 2000]
PARTS = [b"[", b"{", b'{"a":', b"(", b"'", b'"', b"{{", b"{%", b"}}", b"]", b"}", b",", b":", b"#", b"\\", b"=", b"\n"]


def mutate(data, draw, others=(), words=(), values=()):
    """One to three changes; `others` are files to splice with, `words` and JSON `values` what matters to the reader."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        way = draw.choice(WAYS)
        data = way(data, draw, values, words) if way is tree else way(data, draw, others, words)
    return data[: 4 << 20]


def place(data, draw):
    return draw.randrange(len(data) + 1)


def span(data, draw):
    start = place(data, draw)
    return start, min(len(data), start + draw.choice([1, 2, 8, 64, 512, len(data)]))


def flip(data, draw, *_):
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8])):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(data, draw, *_):
    return data[: place(data, draw)]


def drop(data, draw, *_):
    start, end = span(data, draw)
    return data[:start] + data[end:]


def repeat(data, draw, *_):
    start, end = span(data, draw)
    return data[:start] + data[start:end] * draw.choice([2, 3, 50, 2000]) + data[end:]


def splice(data, draw, others, *_):
    other = draw.choice(list(others) or [data])
    return data[: place(data, draw)] + other[place(other, draw):]


def insert(data, draw, *_):
    at = place(data, draw)
    return data[:at] + draw.choice(BAD_BYTES) * draw.choice([1, 1, 3, 200]) + data[at:]


def insert_word(data, draw, _, words):
    # Between a template's parts half the time, where it is none of its text.
    borders = [found.end() for found in BORDER.finditer(data)]
    at = draw.choice(borders) if borders and draw.random() < 0.5 else place(data, draw)
    return data[:at] + draw.choice(list(words) or PARTS) * draw.choice([1, 1, 2, 100]) + data[at:]


def swap_word(data, draw, others, words):
    """Something that matters for something else that matters."""
    found = [word for word in words if word in data]
    if not found:
        return insert_word(data, draw, others, words)
    return data.replace(draw.choice(found), draw.choice(list(words)), draw.choice([1, -1]))


def nest(data, draw, *_):
    depth = draw.choice([50, 130, 2000, 100_000])
    opening, closing = draw.choice([(b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b"[{", b"}]"), (b"not ", b""), (b"-", b"")])
    at = place(data, draw)
    return data[:at] + opening * depth + draw.choice([b"", b"1"]) + closing * draw.choice([depth, 0]) + data[at:]


def number(data, draw, *_):
    found = list(NUMBER.finditer(data))
    if not found:
        return insert(data, draw)
    it = draw.choice(found)
    return data[: it.start()] + draw.choice(NUMBERS) + data[it.end():]


def text(data, draw, *_):
    found = list(STRING.finditer(data))
    if not found:
        return insert(data, draw)
    it = draw.choice(found)
    new = draw.choice([b'""', b'" "', b'"\\u0000"', b'"\\ud800"', b'"' + b"x" * 50_000 + b'"', b'"../../x"', b'"/dev/zero"', b'"<s>"',
                       b'"' + "é\u202e💩".encode() + b'"', draw.choice(found).group()])
    return data[: it.start()] + new + data[it.end():]


def lines(data, draw, *_):
    rows = data.split(b"\n")
    at, to = draw.randrange(len(rows)), draw.randrange(len(rows))
    way = draw.randrange(6)
    if way == 0:
        rows.insert(at, rows[to])
    elif way == 1:
        del rows[at]
    elif way == 2:
        rows[at], rows[to] = rows[to], rows[at]
    elif way == 3:
        rows[at] = b""
    elif way == 4:
        return b"\r\n".join(rows)
    else:
        rows[at] = rows[at] + b" " * 1_000_000
    return b"\n".join(rows)


def nodes(value, found, parent=None, key=None):
    found.append((parent, key, value))
    if isinstance(value, dict):
        for name in list(value):
            nodes(value[name], found, value, name)
    elif isinstance(value, list):
        for at, item in enumerate(value[:200]):
            nodes(item, found, value, at)


def tree(data, draw, known, _):
    """One node of a JSON value, or of one of JSON Lines, becomes something else; one of the `known` half the time."""
    values = known if known and draw.random() < 0.5 else VALUES
    try:
        rows, at, value = None, 0, json.loads(data)
    except (ValueError, RecursionError):
        rows = data.split(b"\n")
        at = draw.randrange(len(rows))
        try:
            value = json.loads(rows[at])
        except (ValueError, RecursionError):
            return flip(data, draw)
    found = []
    nodes(value, found)
    parent, key, old = draw.choice(found)
    way = draw.randrange(4)
    if parent is None:
        value = draw.choice(values)
    elif way == 0:
        del parent[key]
    elif way == 1 and isinstance(parent, dict):
        parent[draw.choice(["", "a", key + "s", "x" * 5000, "\u001b[2J"])] = parent.pop(key)
    elif way == 2:
        parent[key] = draw.choice(found)[2]
    else:
        parent[key] = draw.choice(values)
    try:
        new = json.dumps(value).encode()
    except (ValueError, RecursionError):  # a node put below itself
        return flip(data, draw)
    if rows is None:
        return new
    rows[at] = new
    return b"\n".join(rows)


WAYS = [flip, cut, drop, repeat, splice, insert, insert_word, swap_word, swap_word, nest, number, number, text, lines, tree, tree, tree]
