"""Writes the same few rows in many ways, with pyarrow and datasets, into tests/fixtures/rows.

`expected.json.gz` has for each file the rows that are in it, as `read` gives them: without the members of a struct that are
null, dates and the like as text. Run with pyarrow 26 and datasets 5.2:

    python scripts/make_row_fixtures.py
"""

import datetime
import decimal
import gzip
import json
import math
import pathlib
import shutil
import uuid

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "rows"
UTC = datetime.timezone.utc

datasets.disable_progress_bars()


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, **arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}}]
ROWS = [
    {"prompt": [message("system", "Be kind."), message("user", "hi «there» 今日")], "chosen": [message("assistant", "hello.")],
     "rejected": [message("assistant", "no.")], "tools": None, "chat_template_kwargs": None, "score": 0.5},
    {"prompt": [message("user", "")], "chosen": [message("assistant", "a")], "rejected": [message("assistant", "b")],
     "tools": json.dumps(TOOLS), "chat_template_kwargs": {"enable_thinking": True}, "score": None},
    {"prompt": [message("user", "weather?")],
     "chosen": [message("assistant", None, reasoning_content="in Bern", tool_calls=[call("weather", city="Bern")]),
                message("tool", "7 degrees", name="weather"), message("assistant", "seven.")],
     "rejected": [message("assistant", "no idea", tool_calls=[])], "tools": json.dumps(TOOLS),
     "chat_template_kwargs": {"day": "2024-07-26"}, "score": math.nan},
    {"prompt": [message("user", "hi")], "chosen": [message("assistant", "", tool_calls=[call("now"), call("weather", days=2)])],
     "rejected": [message("assistant", "x" * 300)], "tools": None, "chat_template_kwargs": {"enable_thinking": False, "day": "x"},
     "score": -1e300},
    {"prompt": [], "chosen": [message("assistant", "c")], "rejected": [message("assistant", "d")], "tools": "[]",
     "chat_template_kwargs": None, "score": 3.0},
]


def schema(text=pa.string(), of=pa.list_):
    function = pa.struct([("name", text), ("arguments", pa.struct([("city", text), ("days", pa.int32())]))])
    messages = of(pa.struct([("role", text), ("content", text), ("name", text), ("reasoning_content", text),
                             ("tool_calls", of(pa.struct([("type", text), ("function", function)])))]))
    kwargs = pa.struct([("enable_thinking", pa.bool_()), ("day", text)])
    return pa.schema([("prompt", messages), ("chosen", messages), ("rejected", messages), ("tools", text),
                      ("chat_template_kwargs", kwargs), ("score", pa.float64())])


def plain(value):
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"\0not finite": 0}
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"\0bytes": 0}
    if isinstance(value, datetime.datetime):
        text = value.replace(tzinfo=None).isoformat()
        if "." in text:
            text = text.rstrip("0")
        return text + ("Z" if value.tzinfo else "")
    if isinstance(value, datetime.time):
        text = value.isoformat()
        return text.rstrip("0") if "." in text else text
    if isinstance(value, (decimal.Decimal, datetime.date, uuid.UUID)):
        return str(value)
    return value


EXPECTED = {}


def parquet(name, table=None, rows=ROWS, **options):
    table = pa.Table.from_pylist(ROWS, schema()) if table is None else table
    options = {"compression": "none", "store_schema": False, "write_statistics": False, **options}
    pq.write_table(table, FOLDER / f"{name}.parquet", **options)
    EXPECTED[f"{name}.parquet"] = plain(rows)


def of_options():
    for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]:
        parquet(codec, compression=codec)
    parquet("old", version="1.0", use_dictionary=False, row_group_size=2)
    parquet("pages", data_page_version="2.0", data_page_size=40, write_batch_size=1, row_group_size=3, compression="zstd")
    parquet("pages-of-1", data_page_version="1.0", data_page_size=40, write_batch_size=1, write_page_index=True, compression="snappy",
            write_page_checksum=True)
    parquet("statistics", write_statistics=True, use_dictionary=False, compression="zstd")
    parquet("names", pa.Table.from_pylist(ROWS, schema(pa.large_string(), pa.large_list)), use_compliant_nested_type=False,
            store_schema=True)
    parquet("none-at-all", pa.Table.from_pylist([], schema()), [])
    with pq.ParquetWriter(FOLDER / "empty-groups.parquet", schema(), compression="none", store_schema=False) as writer:
        for at in range(2):
            writer.write_table(pa.Table.from_pylist([], schema()))
            writer.write_table(pa.Table.from_pylist(ROWS[at * 2:at * 2 + 2], schema()))
    EXPECTED["empty-groups.parquet"] = plain(ROWS[:4])


def of_types():
    """Columns that no form of rows reads, in types of every kind."""
    stamp = datetime.datetime(2024, 7, 26, 12, 30, 1, 250000)
    columns = {
        "bool": (pa.bool_(), [True, None, False]), "int8": (pa.int8(), [-128, None, 127]), "uint8": (pa.uint8(), [255, 0, None]),
        "uint32": (pa.uint32(), [2**32 - 1, None, 0]), "uint64": (pa.uint64(), [2**64 - 1, None, 0]),
        "int64": (pa.int64(), [-2**63, None, 2**63 - 1]), "half": (pa.float16(), [0.5, None, -2.0]),
        "float": (pa.float32(), [0.5, None, -math.inf]), "date": (pa.date32(), [stamp.date(), None, datetime.date(1969, 12, 31)]),
        "time": (pa.time64("us"), [stamp.time(), None, datetime.time(0, 0)]),
        "milliseconds": (pa.timestamp("ms"), [stamp, None, datetime.datetime(1960, 1, 2)]),
        "utc": (pa.timestamp("us", "UTC"), [stamp.replace(tzinfo=UTC), None, stamp.replace(tzinfo=UTC)]),
        "small": (pa.decimal128(7, 2), [decimal.Decimal("-12.34"), None, decimal.Decimal("0.05")]),
        "large": (pa.decimal128(38, 3), [decimal.Decimal("12345678901234567890.123"), None, decimal.Decimal("-0.001")]),
        "bytes": (pa.binary(), [b"\xff\x00", None, b"text"]), "fixed": (pa.binary(3), [b"\xff\x00\x01", None, b"\xfe\x00\x01"]),
        "words": (pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"]), "null": (pa.null(), [None, None, None]),
        "pair": (pa.list_(pa.int32(), 2), [[1, 2], None, [3, None]]), "lists": (pa.list_(pa.list_(pa.string())), [[["a"], [], None], None, []]),
        "map": (pa.map_(pa.string(), pa.int32()), [[("a", 1), ("b", None)], None, []]),
        "structs": (pa.list_(pa.struct([("x", pa.list_(pa.int32())), ("y", pa.struct([("z", pa.string())]))])),
                    [[{"x": [1], "y": None}, {"x": None, "y": {"z": "q"}}, None], None, [{"x": [], "y": {"z": None}}]]),
    }
    table = pa.table({name: pa.array(values, type) for name, (type, values) in columns.items()})
    table = table.add_column(0, "text", pa.array(["one", "two", "three"]))
    rows = [{"text": text, **{name: values[at] for name, (_, values) in columns.items()}} for at, text in enumerate(["one", "two", "three"])]
    for row in rows:
        row["map"] = None if row["map"] is None else dict(row["map"])
        row["fixed"] = row["fixed"] and {"\0bytes": 0}
    expected = plain(rows)
    expected[0]["map"]["b"] = None
    parquet("types", table, expected, data_page_version="2.0", compression="zstd")
    parquet("types-1", table, expected, data_page_version="1.0", compression="zstd", row_group_size=2, use_dictionary=False)
    EXPECTED["types.parquet"] = EXPECTED["types-1.parquet"] = expected
    days = pa.table({"text": ["a", "b"], "when": pa.array([stamp, datetime.datetime(1900, 1, 1)], pa.timestamp("ns"))})
    parquet("int96", days, days.to_pylist(), use_deprecated_int96_timestamps=True)
    ids = pa.table({"text": ["a"], "id": pa.array([uuid.UUID(int=7).bytes], pa.uuid())})
    parquet("uuid", ids, [{"text": "a", "id": str(uuid.UUID(int=7))}], store_schema=True)


def of_encodings():
    texts = ["", "a", "ab", "abc", "abd", None, "b" * 200, "今日", "b" * 199] * 20
    numbers = [at * at * (-1) ** at for at in range(len(texts))]
    table = pa.table({"text": texts, "id": pa.array(numbers, pa.int64()), "small": pa.array([at % 7 for at in numbers], pa.int32()),
                      "score": pa.array([at / 3 for at in numbers], pa.float64()), "label": pa.array([at % 3 == 0 for at in numbers])})
    rows = table.to_pylist()
    for version in ["1.0", "2.0"]:
        parquet(f"delta-{version}", table, rows, use_dictionary=False, data_page_version=version, data_page_size=500,
                column_encoding={"text": "DELTA_BYTE_ARRAY", "id": "DELTA_BINARY_PACKED", "small": "DELTA_BINARY_PACKED",
                                 "score": "BYTE_STREAM_SPLIT", "label": "RLE"}, compression="zstd")
    parquet("lengths", table, rows, use_dictionary=False, compression="zstd",
            column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY", "id": "BYTE_STREAM_SPLIT", "small": "PLAIN", "score": "PLAIN"})


def of_datasets():
    rows = [{key: value for key, value in row.items() if key != "score"} for row in ROWS]
    datasets.Dataset.from_list(rows, features=datasets.Features.from_arrow_schema(schema().remove(5))).to_parquet(FOLDER / "datasets.parquet")
    EXPECTED["datasets.parquet"] = plain(rows)
    text, any_of = datasets.Value("string"), datasets.Json()
    features = datasets.Features({"messages": datasets.List({"role": text, "content": text, "tool_calls": any_of}), "tools": any_of,
                                  "chat_template_kwargs": any_of})
    rows = [{"messages": [message("user", "hi", tool_calls=None), message("assistant", "", tool_calls=[call("weather", city="Bern", unit=None)])],
             "tools": TOOLS, "chat_template_kwargs": {"enable_thinking": False}},
            {"messages": [message("user", "a", tool_calls=None), message("assistant", "b", tool_calls=None)], "tools": None,
             "chat_template_kwargs": None}]
    datasets.Dataset.from_list(rows, features=features).to_parquet(FOLDER / "datasets-json.parquet")
    expected = plain(rows)
    # What is JSON itself keeps its nulls.
    expected[0]["messages"][1]["tool_calls"][0]["function"]["arguments"]["unit"] = None
    EXPECTED["datasets-json.parquet"] = expected


def of_text():
    rows = [{"prompt": "a \"b\"", "completion": " c\nd", "label": True}, {"prompt": "今日", "completion": "[{]},", "label": False}]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (FOLDER / "lines.jsonl").write_text("\ufeff\n" + lines, encoding="utf-8")
    (FOLDER / "lines.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    (FOLDER / "lines.json.zst").write_bytes(pa.compress(lines.encode(), "zstd", asbytes=True))
    (FOLDER / "list.json").write_text(json.dumps(rows, indent=1))
    cells = [{**row, "label": str(row["label"])} for row in rows]
    frame = datasets.Dataset.from_list(rows).to_pandas()
    frame.to_csv(FOLDER / "table.csv", index=False)
    frame.to_csv(FOLDER / "table.tsv.gz", index=False, sep="\t")
    for name in ["lines.jsonl", "lines.jsonl.gz", "lines.json.zst", "list.json"]:
        EXPECTED[name] = rows
    EXPECTED["table.csv"] = EXPECTED["table.tsv.gz"] = cells


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for write in [of_options, of_types, of_encodings, of_datasets, of_text]:
        write()
    expected = json.dumps(EXPECTED, ensure_ascii=False, sort_keys=True)
    (FOLDER / "expected.json.gz").write_bytes(gzip.compress(expected.encode(), mtime=0))


if __name__ == "__main__":
    main()
