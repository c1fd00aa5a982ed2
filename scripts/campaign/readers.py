"""Every reader of bytes that a user or a server gives, as a command on a small folder of which one file is damaged."""
import gzip
import io
import json
import pathlib
import shutil
import struct
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS, FIXTURES = ROOT / "tests/corpus", ROOT / "tests/fixtures"
RUN = ["run", "recipe.toml", "--runs", "runs"]
TEMPLATE_WORDS = [b"{% for i in range(1000000000) %}{% endfor %}", b"{% endfor %}", b"{% if x %}", b"{% endif %}", b"{{ 'x' * 999999999 }}",
                  b"|length", b"|tojson", b"|indent(99999999)", b"messages", b"{% include 'x' %}", b"{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
                  b"{% set x = 'a' * 1000000 %}", b"{{ x ~ x }}", b"raise_exception('no')", b"strftime_now('%Y')", b"[::1]", b"[::0]", b"namespace()",
                  b"{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
                  b"{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
                  b"{% for i in range(99999) %}{{ messages | tojson }}{% endfor %}", b"{{ 'a' | indent(999999999) }}", b"{{ ('x' * 9999999) * 999 }}",
                  b"{{ messages * 9999999 }}", b"{% for i in range(9999) %}{{ ('x' * 99999)[::-1] }}{% endfor %}",
                  b"{% macro f(x) %}{% for i in range(9) %}{{ f(x ~ x) }}{% endfor %}{% endmacro %}{{ f('ab') }}", b"{{ 9 ** 99999 }}", b"{{ 1 / 0 }}",
                  b"{{ range(10 ** 18) | list }}", b"{{ '%0999999999d' % 1 }}", b"{{ messages | sort | unique | join('x' * 999999) }}",
                  b"{%- generation -%}", b"{% endgeneration %}", b" + 1", b"not ", b"**9999", b"% 0", b"// 0", b"\\n"]
# Parts of a tokenizer.json, some of them no use.
TOKENIZER_PARTS = [
    {"type": "Precompiled", "precompiled_charsmap": "AAAAAAAA"}, {"type": "Prepend", "prepend": "x" * 1000}, {"type": "Lowercase"},
    {"type": "Replace", "pattern": {"Regex": "(x+x+)+y"}, "content": ""}, {"type": "Replace", "pattern": {"String": ""}, "content": "ab"},
    {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}, {"type": "Strip", "content": " ", "start": 10**9, "stop": 10**9},
    {"type": "Sequence", "normalizers": []}, {"type": "Sequence", "pretokenizers": []}, {"type": "Sequence", "decoders": []},
    {"type": "Sequence", "processors": []}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    {"type": "Metaspace", "replacement": "", "add_prefix_space": True}, {"type": "FixedLength", "length": 0}, {"type": "NFKC"},
    {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated", "invert": False}, {"type": "Digits", "individual_digits": True},
    {"type": "Split", "pattern": {"String": ""}, "behavior": "MergedWithPrevious", "invert": True}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "CharDelimiterSplit", "delimiter": ""}, {"type": "Whitespace"}, {"type": "UnicodeScripts"}, {"type": "BertPreTokenizer"},
    {"type": "BertProcessing", "sep": ["x", 1], "cls": ["y", 99999]}, {"type": "RobertaProcessing", "sep": ["x", 1], "cls": ["y", 2],
                                                                       "trim_offsets": True, "add_prefix_space": True},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
     "pair": [], "special_tokens": {}},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
     "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [99999], "tokens": ["<s>"]}}},
    {"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0], ["b", -1.0]], "byte_fallback": False}, {"type": "Unigram", "unk_id": None, "vocab": []},
    {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {"a": 0}},
    {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"}, {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "c"]]},
    {"type": "BPE", "dropout": 0.5, "unk_token": "?", "fuse_unk": True, "vocab": {"a": 0}, "merges": []},
    {"id": 7, "content": "", "single_word": False, "lstrip": True, "rstrip": True, "normalized": False, "special": True},
    {"id": 10**9, "content": "x", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False},
    {"strategy": "LongestFirst", "max_length": 0, "stride": 5, "direction": "Right"},
    {"strategy": {"Fixed": 3}, "direction": "Left", "pad_to_multiple_of": 0, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"},
]
ROW_WORDS = [b'"prompt"', b'"chosen"', b'"rejected"', b'"completion"', b'"messages"', b'"label"', b'"text"', b'"role"', b'"content"', b'"tools"',
             b'"user"', b'"assistant"', b'"system"', b'"tool"', b"null", b"true", b"[]", b"{}", b'""', b"1e999", b"<|end|>"]
RECIPE_WORDS = [b"kind", b"like", b"extends", b"profile", b"stage", b"seeds", b"outputs", b"@data", b"@t", b"@", b"sft", b"dpo", b"rank",
                b"scratch", b'""', b"[]", b"{}", b"[[claim]]", b"[stage.x]", b"per_seed", b"false", b"inf", b"nan", b"1979-05-27", b"${DATA}",
                b"${", b"'''", b'"""', b"\\u0000", b"stage.t.kind"]


class Reader:
    """`target` in the case's folder is written with damaged `seeds`; `build` writes what stands beside it.

    `wrap` turns the damaged bytes into the file's; `endless` readers may be asked for work without end, and are only held
    to not breaking; `server` answers are sent, not written; a `sound` reader's first seed has to be read.
    """

    def __init__(self, name, target, seeds, build, command=RUN, words=(), wrap=None, endless=False, server=False, sound=True,
                 values=()):
        self.name, self.target, self.build, self.command = name, target, build, list(command)
        self.seeds, self.words, self.wrap = list(seeds), list(words), wrap
        self.endless, self.server, self.sound, self.values = endless, server, sound, list(values)


def corpus(*names):
    return [(CORPUS / name).read_bytes() for name in names]


def fixture(name):
    return (FIXTURES / name).read_bytes()


# ---------------------------------------------------------------------------------------------- model folders

def model(folder, template=True):
    """The fixture's Llama with a chat template."""
    shutil.copytree(FIXTURES / "trl_dpo/model", folder, dirs_exist_ok=True)
    if template:
        (folder / "chat_template.jinja").write_bytes(*corpus("template/chatml.jinja"))


def split_weights(folder):
    """model.safetensors as two shards and their index."""
    data = (folder / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    names, index = sorted(header), {}
    for shard, part in enumerate([names[::2], names[1::2]], 1):
        file, body, heads = f"model-0000{shard}-of-00002.safetensors", b"", {}
        for name in part:
            start, end = header[name]["data_offsets"]
            heads[name] = {**header[name], "data_offsets": [len(body), len(body) + end - start]}
            body += data[8 + size + start:8 + size + end]
            index[name] = file
        head = json.dumps(heads).encode()
        (folder / file).write_bytes(struct.pack("<Q", len(head)) + head + body)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def safetensors_header(data):
    """Weights whose header is the damaged bytes, its length being right."""
    body = fixture("trl_dpo/model/model.safetensors")
    size = struct.unpack("<Q", body[:8])[0]
    return struct.pack("<Q", len(data)) + data + body[8 + size:]


def header_of(data):
    return data[8:8 + struct.unpack("<Q", data[:8])[0]]


def recipe(folder, stages, outputs):
    head = f'title = "case"\nseeds = [1]\noutputs = {json.dumps(outputs)}\n'
    (folder / "recipe.toml").write_text(head + stages, encoding="utf-8")


MODEL = '[stage.model]\nkind = "pretrained"\nper_seed = false\npath = "model"\n'
STEPS = 'model = "@model"\ndata = "@data"\nlearning_rate = 1e-4\nmax_steps = 1\nper_device_train_batch_size = 2\nmetric_for_best_model = "none"\n'


def trained(rows, kind, trainer, prepare=None):
    """A case that reads rows with the model and takes one step on them."""
    def build(folder):
        model(folder / "model")
        if prepare:
            prepare(folder / "model")
        (folder / "rows.jsonl").write_bytes(*corpus(rows))
        recipe(folder, f'{MODEL}[stage.data]\nkind = "{kind}"\nper_seed = false\nmodel = "@model"\ntrain = "rows.jsonl"\n'
                       f'[stage.train]\nkind = "{trainer}"\n{STEPS}', ["train"])
    return build


def bpe_files(folder):
    """The tokenizer as vocab.json and merges.txt."""
    tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(tokenizer["model"]["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))


def bpe_seed(name):
    def seed():
        import tempfile
        with tempfile.TemporaryDirectory() as place:
            model(pathlib.Path(place))
            bpe_files(pathlib.Path(place))
            return (pathlib.Path(place) / name).read_bytes()
    return seed()


def index_seed():
    import tempfile
    with tempfile.TemporaryDirectory() as place:
        model(pathlib.Path(place))
        split_weights(pathlib.Path(place))
        return (pathlib.Path(place) / "model.safetensors.index.json").read_bytes()


ADAPTER = json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "bias": "none",
                      "task_type": "CAUSAL_LM", "base_model_name_or_path": "model", "fan_in_fan_out": False}).encode()


def model_readers():
    preferences = trained("rows/preferences.jsonl", "preferences", "dpo")
    folder = {"tokenizer": "tokenizer.json", "tokenizer-config": "tokenizer_config.json", "config": "config.json",
              "generation-config": "generation_config.json", "weights": "model.safetensors"}
    for name, file in folder.items():
        seeds = [fixture(f"trl_dpo/model/{file}")]
        words = [b"<|end|>", b"null", b"true", b"{}", b"[]", b'"type"', b'"Sequence"', b'"ByteLevel"', b'"Metaspace"', b'"Precompiled"',
                 b'"Replace"', b'"Unigram"', b'"WordPiece"', b'"BPE"', b'"llama"', b'"gpt2"', b'"rope_scaling"', b'"F16"', b'"BF16"', b'"F32"']
        yield Reader(name, f"model/{file}", seeds, preferences, words=words,
                     values=TOKENIZER_PARTS if name == "tokenizer" else ())
    yield Reader("weights-header", "model/model.safetensors", [header_of(fixture("trl_dpo/model/model.safetensors"))], preferences,
                 wrap=safetensors_header, words=[b'"F32"', b'"BF16"', b'"F64"', b'"I8"', b'"shape"', b'"data_offsets"', b'"__metadata__"'])
    yield Reader("weights-index", "model/model.safetensors.index.json", [index_seed()],
                 trained("rows/preferences.jsonl", "preferences", "dpo", split_weights),
                 words=[b"model-00001-of-00002.safetensors", b"../x", b"/dev/zero", b'"weight_map"', b'"metadata"'])
    for file in ("vocab.json", "merges.txt"):
        yield Reader(file, f"model/{file}", [bpe_seed(file)], trained("rows/preferences.jsonl", "preferences", "dpo", bpe_files))
    yield Reader("special-tokens-map", "model/special_tokens_map.json",
                 [b'{"eos_token": "<|end|>", "pad_token": {"content": "<|end|>", "lstrip": false}}'], preferences)
    yield Reader("added-tokens", "model/added_tokens.json", [b'{}', b'{"<|x|>": 300, "<|y|>": 301}'], preferences)
    yield Reader("adapter-config", "model/adapter_config.json", [ADAPTER], preferences, sound=False)
    yield Reader("template", "model/chat_template.jinja", corpus("template/chatml.jinja", "template/llama.jinja"), preferences,
                 words=TEMPLATE_WORDS)
    yield Reader("rows-preferences", "rows.jsonl", corpus("rows/preferences.jsonl", "rows/tools.jsonl"), preferences, words=ROW_WORDS)
    yield Reader("rows-completions", "rows.jsonl", corpus("rows/completions.jsonl", "rows/text.jsonl"),
                 trained("rows/completions.jsonl", "completions", "sft"), words=ROW_WORDS)
    yield Reader("rows-labels", "rows.jsonl", corpus("rows/labels.jsonl"), trained("rows/labels.jsonl", "labels", "kto"), words=ROW_WORDS)


def scorer(folder):
    shutil.copytree(FIXTURES / "scores/llama", folder / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(FIXTURES / "trl_dpo/model" / name, folder / "model" / name)
    (folder / "rows.jsonl").write_bytes(*corpus("rows/score.jsonl"))


def parquet_rows():
    """Rows in Parquet, damaged anywhere, and in their footer alone."""
    def build(kind, trainer):
        def built(folder):
            model(folder / "model")
            recipe(folder, f'{MODEL}[stage.data]\nkind = "{kind}"\nper_seed = false\nmodel = "@model"\ntrain = "rows.parquet"\n'
                           f'[stage.train]\nkind = "{trainer}"\n{STEPS}', ["train"])
        return built

    def with_footer(data):
        whole = fixture("rows/statistics.parquet")
        size = struct.unpack("<I", whole[-8:-4])[0]
        return whole[:-8 - size] + data + struct.pack("<I", len(data)) + b"PAR1"
    seeds = ["statistics", "datasets", "pages", "pages-of-1", "old", "gzip", "brotli", "lz4", "snappy", "names", "datasets-json"]
    seeds = [fixture(f"rows/{name}.parquet") for name in seeds]
    words = [b"PAR1", b"\x15\xfe\xff\xff\xff\x0f", b"\x19\xfc\xff\xff\xff\xff\x0f", b"\x3c" * 200, b"\xff" * 8, b"\x00" * 8]
    yield Reader("rows-parquet", "rows.parquet", seeds, build("preferences", "dpo"), words=words, sound=False)
    size = struct.unpack("<I", seeds[0][-8:-4])[0]
    yield Reader("rows-parquet-footer", "rows.parquet", [seeds[0][-8 - size:-8]], build("preferences", "dpo"), words=words, wrap=with_footer,
                 sound=False)
    text = [fixture(f"rows/delta-{version}.parquet") for version in ("1.0", "2.0")] + [fixture("rows/lengths.parquet")]
    yield Reader("data-parquet", "rows.parquet", [*text, fixture("rows/types.parquet"), *seeds], lambda _: None, ["data", "rows.parquet"], words)
    lines = [fixture(f"rows/{name}") for name in ("lines.jsonl", "lines.jsonl.gz", "lines.json.zst", "list.json", "table.csv", "table.tsv.gz")]
    yield Reader("data-text", "rows", lines, lambda _: None, ["data", "rows"], [*ROW_WORDS, b",", b"[", b"]", b'"', b"\n"])


def score_readers():
    command = ["score", "model", "rows.jsonl"]
    yield Reader("score-rows", "rows.jsonl", corpus("rows/score.jsonl"), scorer, command, ROW_WORDS + [b'"turns"', b'"speaker"', b'"ratings"'])
    yield Reader("score-config", "model/config.json", [fixture("scores/llama/config.json")], scorer, command,
                 [b'"id2label"', b'"problem_type"', b'"num_labels"', b'"regression"', b'"single_label_classification"', b"null"])
    yield Reader("score-weights", "model/model.safetensors", [fixture("scores/llama/model.safetensors")], scorer, command)


# ---------------------------------------------------------------------------------------------- data sets

def stage(text, **files):
    def build(folder):
        for name, seed in files.items():
            path = folder / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(*corpus(seed))
        recipe(folder, f"[stage.data]\nper_seed = false\n{text}", ["data"])
    return build


def star(folder):
    tasks = folder / "star/tasks/tea_order"
    tasks.mkdir(parents=True)
    (tasks / "tea_order.json").write_bytes(*corpus("star/graph.json"))
    (tasks / "responses.json").write_bytes(*corpus("star/responses.json"))
    (folder / "star/dialogues").mkdir()
    first = corpus("star/dialogue.json")[0]
    for number in range(1, 5):
        (folder / f"star/dialogues/{number}.json").write_bytes(first.replace(b'"DialogueID": 1', b'"DialogueID": %d' % number))
    recipe(folder, '[stage.data]\nkind = "star"\nper_seed = false\narchive = "star"\nheld_out_count = 0\n', ["data"])


def packed(parts):
    """A gzipped tar archive of (name, bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in parts:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


REAL_PERSONA_CHATS = [(f"rpc/dialogues/0000{n}.json", corpus("dialogues/real_persona_chat.json")[0].replace(b": 7,", b": %d," % n)
                       .replace("はい".encode(), b"%d" % n)) for n in range(1, 6)]


def star_tar():
    graph, responses, dialogue = corpus("star/graph.json", "star/responses.json", "star/dialogue.json")
    return packed([("star/tasks/tea_order/tea_order.json", graph), ("star/tasks/tea_order/responses.json", responses),
                   *((f"star/dialogues/{n}.json", dialogue.replace(b'"DialogueID": 1', b'"DialogueID": %d' % n)) for n in range(1, 5))])


def star_archive(folder):
    recipe(folder, '[stage.data]\nkind = "star"\nper_seed = false\narchive = "star.tar.gz"\nheld_out_count = 0\n', ["data"])


def data_readers():
    personas = ('kind = "persona-files"\nconvai2 = ["convai2.txt"]\nsynthetic_persona_chat = ["synthetic.csv"]\n'
                'dialogue_nli = ["items.jsonl"]\nvalid = 1\ntest = 1\n')
    build = stage(personas, convai2__txt="dialogues/convai2.txt", synthetic__csv="dialogues/synthetic.csv",
                  items__jsonl="dialogues/nli_items.jsonl")
    yield Reader("convai2", "convai2.txt", corpus("dialogues/convai2.txt"), build, words=[b"1 ", b"2 ", b"\t", b"your persona:", b"__SILENCE__", b"\n1 "])
    yield Reader("synthetic-persona-chat", "synthetic.csv", corpus("dialogues/synthetic.csv"), build, words=[b'"', b",", b"User 1:", b"User 2:", b'""', b"\n"])
    yield Reader("dialogue-nli", "items.jsonl", corpus("dialogues/nli_items.jsonl"), build, words=[b'"label"', b'"neg"', b"[]", b'"prefix"'])
    yield Reader("nli", "nli.jsonl", corpus("rows/nli.jsonl"),
                 stage('kind = "nli"\ntrain = "nli.jsonl"\n', nli__jsonl="rows/nli.jsonl"),
                 words=[b'"label"', b'"positive"', b'"neutral"', b"[", b"]"])
    for name, file, seed, form, words in [
        ("ratings", "rated.jsonl", "table/rated.jsonl", "", [b'"scores"', b'"turns"', b'"rater"', b'"ease"', b"null"]),
        ("table-csv", "table.csv", "table/wide.csv", 'format = "table"\ncolumns = { text = "dialogue", dialogue = "dialogue_id" }\n', [b",", b";", b"\t", b'"', b"User:", b"Bot:", b"N/A", b"ease", b"dialogue"]),
        ("table-json", "table.json", "table/long.json", 'format = "table"\ncolumns = { ratings = "ratings" }\n', [b'"text"', b'"ratings"', b'"ease"', b"[", b"{}", b"null"]),
        ("dstc9", "chatbot1.json", "dialogues/dstc9.json", 'format = "dstc9"\n', [b'"context"', b'"N/A"', b"User:", b"System:", b"null"]),
    ]:
        yield Reader(name, file, corpus(seed), stage(f'kind = "ratings"\npath = "{file}"\n{form}', **{file.replace(".", "__"): seed}), words=words)
    yield Reader("real-persona-chat", "rpc.tar.gz", corpus("dialogues/real_persona_chat.json"),
                 stage('kind = "ratings"\npath = "rpc.tar.gz"\nformat = "real-persona-chat"\n'),
                 wrap=lambda data: gzip.compress(packed([("rpc/dialogues/00007.json", data), *REAL_PERSONA_CHATS]), 1), words=[b'"AA"', b'"utterances"', b"null"])
    for name, target, seed in [("star-graph", "tasks/tea_order/tea_order.json", "graph"), ("star-responses", "tasks/tea_order/responses.json", "responses"),
                               ("star-dialogue", "dialogues/1.json", "dialogue")]:
        yield Reader(name, f"star/{target}", corpus(f"star/{seed}.json"), star,
                     words=[b"tea_ask_kind", b"hello", b"query", b"{kind:s}", b"{", b"}", b'"Action"', b'"Wizard"', b'"Item"', b"null", b"[]"])
    yield Reader("archive-tar", "star.tar.gz", [star_tar()], star_archive, wrap=lambda data: gzip.compress(data, 1),
                 words=[b"star/dialogues/1.json", b"../", b"ustar", b"\x00" * 512])
    yield Reader("archive-gzip", "star.tar.gz", [gzip.compress(star_tar())], star_archive)


# ---------------------------------------------------------------------------------------------- recipes, judges, the store

def recipe_readers():
    def nothing(_):
        pass
    seeds = corpus("recipe/small.toml") + [path.read_bytes() for path in sorted((ROOT / "experiments").glob("*.toml"))]
    places, profile = ["--experiments", str(ROOT / "experiments")], ["--profile", "real"]
    yield Reader("recipe", "recipe.toml", seeds, nothing, ["validate", "recipe.toml", *places], RECIPE_WORDS)
    yield Reader("recipe-dry-run", "recipe.toml", corpus("recipe/small.toml"), nothing, [*RUN, "--dry-run", *profile, *places], RECIPE_WORDS)
    yield Reader("recipe-run", "recipe.toml", corpus("recipe/small.toml"), nothing, [*RUN, *profile, *places], [], endless=True)


def report_readers():
    yield Reader("report", "runs/recipe/sandbox/summary.json", corpus("store/summary.json"), lambda _: None, ["report", "recipe"],
                 words=[b"null", b"NaN", b'"holds"', b'"ci95"', b"[]", b'"per_seed"', b'"unit"'])


JUDGED = """\
[stage.data]
kind = "guardrail-world"
per_seed = false
train = 8
valid = 2
test = 2
pretrain = 8
[stage.tok]
kind = "tokenizer"
per_seed = false
data = "@data"
vocab_size = 300
[stage.m]
kind = "scratch"
per_seed = false
tokenizer = "@tok"
hidden_size = 8
num_attention_heads = 1
[stage.judge]
kind = "judge"
per_seed = false
model = "@m"
data = "@data"
examples = 2
max_new_tokens = 4
judge = "endpoint"
base_url = "http://127.0.0.1:%d/v1"
model_name = "m"
max_retries = 1
timeout_s = 2.0
first_wait_s = 0.01
longest_wait_s = 0.02
"""


def judge_readers():
    def build(folder):
        recipe(folder, JUDGED % 1, ["judge"])
    yield Reader("judge-answer", "recipe.toml", corpus("judge/answer.http", "judge/error.http", "judge/lines.http"), build, server=True,
                 words=[b"\r\n", b"\n\n", b"Content-Length: 99999999999", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"302",
                        b"Location: /", b"500", b"401", b'"content"', b'"choices"', b"null", b"adherence", b"10", b"\x1b[2J"])

    def prompt(folder):
        recipe(folder, JUDGED % 1 + 'score_prompt = "prompt.jinja"\n', ["judge"])
    yield Reader("judge-prompt", "prompt.jinja", corpus("template/judge.jinja"), prompt, server=False, words=TEMPLATE_WORDS)


def all_readers():
    return [*recipe_readers(), *model_readers(), *parquet_rows(), *score_readers(), *data_readers(), *judge_readers(), *report_readers()]
