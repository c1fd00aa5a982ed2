"""Trains small SentencePiece models and writes how transformers' AutoTokenizer reads them, into
tests/fixtures/sentencepiece/: NAME.model, and cases.json.gz, which crates/text compares with.

    pip install sentencepiece protobuf transformers==5.24.0
    python scripts/make_sentencepiece_references.py            # the fixtures
    python scripts/make_sentencepiece_references.py DIR [MODEL ...]

The second form writes into DIR, beside further models that are too large for the repository (the normalisers that
sentencepiece ships, and any MODEL of yours); then `RAPPORT_SENTENCEPIECE=DIR cargo test -p rapport-text
sentencepiece -- --ignored` compares with those. Printed of each folder: how many texts have the ids that sentencepiece
itself gives them, and what transformers reads otherwise once a `tokenizer.json` lies beside the model.
"""

import contextlib
import gzip
import io
import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "sentencepiece"

# Our own words; enough of them that small vocabularies have pieces of several characters.
CORPUS = """The train to the north leaves at nine, and the one to the south at ten past nine.
I would rather have tea than coffee, but a cold glass of water is even better.
My brother works in a bakery; he gets up at four and goes to bed when it gets dark.
Do you like walking in the mountains? I do, and my dog does too.
We talked about the weather, about music, and about what we would cook for dinner.
She said that the library would be closed on Monday, so we went there on Sunday.
It's a long way, isn't it? Yes, but the road is good and the view is wonderful.
What is your favourite season? Mine is autumn, when the leaves turn red and gold.
こんにちは。今日はとてもいい天気ですね。散歩に行きませんか。
私は毎朝コーヒーを飲みながら新聞を読みます。あなたは何をしますか。
弟はパン屋で働いていて、毎日四時に起きます。とても大変だそうです。
週末は友達と映画を見に行きました。話はとても面白かったです。
電車は九時に出発します。駅まで歩いて十分かかります。
好きな季節は秋です。山の木々が赤や黄色に変わるからです。
夕飯に何を作りましょうか。魚と野菜の料理はどうですか。
ありがとうございます。それでは、また明日お会いしましょう。
""".splitlines()

TEXTS = [
    "",
    " ",
    "   ",
    "a",
    "The train leaves at nine.",
    "  The train  leaves   at nine.  ",
    " tea",
    "tea ",
    "tea\n",
    "\ntea\n\nand water\n",
    "a\tb\r\nc",
    "こんにちは。今日はいい天気ですね。",
    " 電車は　九時に  出発します。",
    "ﾊﾝｶｸ と ＦＵＬＬ ｗｉｄｔｈ ①㈱ﬁ",
    "Ångström café e\u0301 が か\u3099 İstanbul ẞ",
    "🙂 👩‍👩‍👧 🇯🇵 tea🙂tea",
    "鬱 ξ ℵ \u200b zero\u00a0width \ufeff",
    "▁under ▁▁ line▁",
    "<s>tea</s> and </s><s> tea",
    "<unk> tea <pad><mask>",
    "user:<sep>tea <sep> bot <sep>  water<sep>",
    "xNAMEx NAME, NAMENAME  NAME",
    "<0x41><0xE3> 0x0A",
    "<extra_id_0> tea <extra_id_99>",
    "I'd say 12,345.67 times: Don't! (won't) — \u201cQuoted\u201d…",
    "The\u0000train\u0001\u007f",
    "teateateateateateateateateateateatea",
]

RULES = "41\t61\nFF21\t61\nFF8A\t30CF\nFB01\t66 69\n3000\t20\n2460\t31\nA0\t20\n200B\t\n65 301\tE9\n"

MODELS = {
    "unigram": dict(model_type="unigram", normalization_rule_name="identity", vocab_size=260),
    "unigram_bytes": dict(model_type="unigram", normalization_rule_tsv=RULES, byte_fallback=True, vocab_size=460,
                          user_defined_symbols=["<sep>", "NAME"], control_symbols=["<mask>"], pad_id=3),
    "bpe_bytes": dict(model_type="bpe", normalization_rule_name="identity", byte_fallback=True, vocab_size=520,
                      remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True),
    "bpe_symbols": dict(model_type="bpe", normalization_rule_tsv=RULES, vocab_size=300, add_dummy_prefix=False,
                        user_defined_symbols=["<sep>", "NAME", "\n", "a.b|c"], control_symbols=["<mask>", "<pad>"],
                        unk_surface=" * "),
    "bpe_names": dict(model_type="bpe", normalization_rule_name="identity", vocab_size=300, unk_id=2, bos_id=-1,
                      eos_id=1, pad_id=0, user_defined_symbols=["<sep>", "NAME"]),
}
SHIPPED = {
    f"{kind}_{name}{'_bytes' if fallback else ''}": dict(
        model_type=kind, normalization_rule_name=name, byte_fallback=fallback, vocab_size=480 if fallback else 300,
        user_defined_symbols=["<sep>", "NAME"])
    for kind in ["unigram", "bpe"] for name in ["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"] for fallback in [False, True]
}


def train(path, settings):
    """A model of the corpus, at `path`."""
    model = io.BytesIO()
    settings = dict(settings)
    rules = settings.pop("normalization_rule_tsv", None)
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(None):
        if rules is not None:
            (pathlib.Path(scratch) / "rules.tsv").write_text(rules)
            settings["normalization_rule_tsv"] = f"{scratch}/rules.tsv"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS * 3), model_writer=model, hard_vocab_limit=False, minloglevel=9,
            num_threads=1, character_coverage=0.995, **settings)
    proto = model_pb2.ModelProto.FromString(model.getvalue())
    # A path of the machine that trained it.
    proto.normalizer_spec.normalization_rule_tsv = ""
    path.write_bytes(proto.SerializeToString())


def added(content, **flags):
    return dict(dict(content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True),
                **flags)


LLAMA = dict(tokenizer_class="LlamaTokenizer")
T5 = dict(tokenizer_class="T5Tokenizer")
RINNA = dict(T5, extra_ids=0, additional_special_tokens=[], bos_token="<s>", eos_token="</s>", pad_token="[PAD]",
             unk_token="<unk>", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")

# Name, the model file's name in the folder, tokenizer_config.json, config.json, further files.
FOLDERS = [
    ("alone", "tokenizer.model", None, None, {}),
    ("llama_type", "tokenizer.model", None, dict(model_type="llama"), {}),
    ("fast", "tokenizer.model", dict(tokenizer_class="PreTrainedTokenizerFast", add_bos_token=True, add_eos_token=True),
     dict(model_type="gpt2"), {}),
    ("no_legacy", "tokenizer.model", dict(legacy=False, pad_token="<pad>"), None, {}),
    ("declared", "tokenizer.model", dict(
        bos_token="<s>", unk_token=None,
        added_tokens_decoder={"1": added("<s>"), "7": added("te", special=False, normalized=True), "900": added("<new>")}),
     dict(model_type="mistral", tokenizer_class="LlamaTokenizer"), {}),
    ("renamed", "tokenizer.model", dict(added_tokens_decoder={"2": added("<|end|>"), "3": added("<|turn|>")},
                                        eos_token="<|end|>"), None, {}),
    ("llama", "tokenizer.model", LLAMA, None, {}),
    ("llama_bos", "tokenizer.model", dict(tokenizer_class="LlamaTokenizerFast", add_bos_token=True, legacy=True,
                                          pad_token="<pad>", bos_token="<s>", eos_token=dict(added("</s>", lstrip=True), __type="AddedToken")),
     dict(model_type="llama"), {}),
    ("llama_no_prefix", "tokenizer.model", dict(LLAMA, add_prefix_space=False, add_eos_token=True,
                                                additional_special_tokens=["<x>", "<sep>"]), None, {}),
    ("llama_decoder", "tokenizer.model", dict(LLAMA, added_tokens_decoder={
        "0": added("<unk>"), "1": added("<s>"), "2": added("</s>"), "900": added("<new>", special=False)},
        bos_token="<s>", add_bos_token=True), None, {}),
    ("llama_phi3", "tokenizer.model", LLAMA, dict(model_type="phi3"), {}),
    ("llama_map", "tokenizer.model", LLAMA, dict(model_type="gpt2"),
     {"special_tokens_map.json": dict(bos_token="<s>", pad_token="</s>", additional_special_tokens=["<x>"]),
      "added_tokens.json": {"<y>": 2000, "NAME": 2001}}),
    ("t5", "spiece.model", T5, dict(model_type="t5"), {}),
    ("t5_gpt2", "spiece.model", dict(T5, extra_ids=3), dict(model_type="gpt2"), {}),
    ("rinna", "spiece.model", RINNA, dict(model_type="gpt2"), {}),
    ("rinna_neox", "spiece.model", dict(RINNA, tokenizer_class=None),
     dict(model_type="gpt_neox", tokenizer_class="T5Tokenizer"), {}),
    ("t5_bos", "tokenizer.model", dict(T5, extra_ids=0, add_bos_token=True, bos_token="<s>"), dict(model_type="llama"), {}),
]


def fill(folder, model, name, config, model_config, others):
    shutil.copyfile(model, folder / name)
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False))
    if model_config is not None:
        (folder / "config.json").write_text(json.dumps(model_config))
    for other, value in others.items():
        (folder / other).write_text(json.dumps(value))


def results(tokenizer):
    """What a tokenizer gives for each text, and the tokens that are added to it."""
    cases = []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        cases.append([ids, tokenizer.decode(ids, skip_special_tokens=True), tokenizer.decode(ids)])
    return dict(
        texts=cases,
        size=len(tokenizer),
        eos=tokenizer.eos_token_id, bos=tokenizer.bos_token_id, pad=tokenizer.pad_token_id,
        added=[[i, t.content, t.special, t.normalized, t.lstrip, t.rstrip]
               for i, t in sorted(tokenizer.added_tokens_decoder.items())])


def reference(model, row):
    """How AutoTokenizer reads a folder; why not where it does not."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        fill(folder, model, *row[1:])
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            result = results(tokenizer)
        except Exception as error:  # noqa: BLE001
            return dict(refused=str(error)[:80]), None
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        again = results(AutoTokenizer.from_pretrained(folder))
        differs = [key for key in result if result[key] != again[key]]
        return result, differs or None


def agreement(model, result):
    """How many texts have the ids that sentencepiece itself gives them, of those without special tokens, a BOS and an
    EOS around them apart."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    same = []
    for text, (ids, *_) in zip(TEXTS, result["texts"]):
        if "<" not in text:
            ids = ids[1:] if ids[:1] == [result["bos"]] else ids
            ids = ids[:-1] if ids[-1:] == [result["eos"]] else ids
            same.append(processor.encode(text) == ids)
    return f"{sum(same)}/{len(same)}"


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES
    out.mkdir(parents=True, exist_ok=True)
    models = dict(MODELS) if out == FIXTURES else dict(MODELS, **SHIPPED)
    for name, settings in models.items():
        train(out / f"{name}.model", settings)
    names = list(models)
    for path in map(pathlib.Path, sys.argv[2:]):
        shutil.copyfile(path, out / path.name)
        names.append(path.stem)
    cases = []
    for name in names:
        for row in FOLDERS:
            result, differs = reference(out / f"{name}.model", row)
            agrees = "" if "refused" in result else agreement(out / f"{name}.model", result)
            print(f"{name:24} {row[0]:16} {result.get('refused', agrees)} {differs or ''}")
            keys = dict(zip(["folder", "file", "config", "model_config", "others"], row))
            cases.append(dict(model=name, **keys, **result))
    text = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    texts = json.dumps(TEXTS, ensure_ascii=False)
    text = f'{{"texts":{texts},\n"cases":[\n{text}\n]}}\n'
    (out / "cases.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


main()
