"""Write the small references that the parity tests compare with, into tests/fixtures/.

    pip install torch transformers trl accelerate datasets
    python scripts/make_references.py            # or: ... models | trl | chat | scores

models/NAME/    a tiny random model in Hugging Face form, and expected.json: for several sequences the
                logits of the last positions, the log-prob of every next token, and a greedy
                generation, all from transformers in f32 with eager attention.
trl_dpo/        a tiny Llama with its tokenizer (model/), pairs.jsonl, and expected.json: what TRL's
                DPOTrainer logs for six steps over the pairs in file order, with IPO's loss in
                expected_ipo.json and in bf16 in expected_bf16.json.
trl_kto/        labels.jsonl and expected.json: the same for KTOTrainer, from the same model.
trl_sft/        rows.jsonl and expected.json: the same for SFTTrainer, from the same model.
trl_chat/       a tiny Llama whose tokenizer puts a BOS before plain text and whose chat template prints none and ends
                a reply by itself (model/); chat.jsonl, conversations, and text.jsonl, plain pairs in which tokens
                straddle the border on one side, on both or on none; expected_chat.json, expected_text.json: DPO as
                above, and SFT on the chosen side of the conversations in expected_sft.json.
trl_reward/     pairs.jsonl with margins and expected.json: the same for RewardTrainer, from the same model
                with a scoring head of zeros.
scores/NAME/    a tiny random model with a scoring head, for the tokenizer of trl_dpo/, and expected.json: its
                outputs for texts in one padded batch, of which one ends in the padding token, from
                transformers as above.
scores/losses.json  values and gradients of the losses of such heads, by torch in f64.

Everything here is random or invented; nothing is downloaded. Made with the versions that each
expected.json names.
"""
import argparse
import json
import math
import pathlib
import shutil
import tempfile

import torch
import transformers
from transformers import (AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, GPT2Config, LlamaConfig,
                          MistralConfig, PreTrainedTokenizerFast, Qwen2Config, TrainerCallback)

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"
VOCAB = 97
LENGTHS = [1, 4, 11, 24]
NEW_TOKENS = 16
LAST = 3


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


# ---------------------------------------------------------------- models

def rotary(**more):
    """Options that Llama, Mistral and Qwen2 share; 4 query heads over 2 key heads."""
    options = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                   num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                   initializer_range=0.3, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    return options | more


def gpt2(**more):
    return GPT2Config(vocab_size=VOCAB, n_embd=32, n_inner=64, n_layer=2, n_head=4, n_positions=64,
                      initializer_range=0.3, bos_token_id=None, eos_token_id=None, **more)


LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=16)

MODELS = {
    "gpt2": gpt2(),
    "gpt2-untied": gpt2(tie_word_embeddings=False),
    "llama": LlamaConfig(**rotary(num_hidden_layers=3)),
    # Stored in bf16 in three shards; biases in attention, Llama 3.1's frequencies, a tied head.
    "llama-shards": LlamaConfig(**rotary(rope_parameters=LLAMA3, attention_bias=True, tie_word_embeddings=True)),
    # Heads wider than hidden / heads, and a window that the sequences outgrow.
    "mistral": MistralConfig(**rotary(sliding_window=5, head_dim=12)),
    "qwen2": Qwen2Config(**rotary(tie_word_embeddings=True)),
}


def random_model(config, kind=AutoModelForCausalLM):
    model = kind.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        # Norms start at one and biases at zero, which would hide a norm or a bias left out.
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def greedy(model, ids):
    """The likeliest continuation, recomputed whole at each step, so that no cache can be wrong."""
    ids = list(ids)
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([ids])).logits[0, -1]
        best = logits.topk(2)
        # A near tie would let rounding decide which generation is right.
        assert (best.values[0] - best.values[1]).item() > 1e-3, "near tie: change the seed"
        ids.append(best.indices[0].item())
    return ids[-NEW_TOKENS:]


def expectations(model):
    cases = []
    for length in LENGTHS:
        ids = torch.randint(0, VOCAB, (1, length))
        with torch.no_grad():
            logits = model(ids).logits[0]
            continued = greedy(model, ids[0].tolist())
            # Without a mask, generate would take ids that equal the padding token for padding.
            again = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                                   max_new_tokens=NEW_TOKENS, pad_token_id=0)
        assert again[0, length:].tolist() == continued
        logps = logits[:-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        cases.append({"ids": ids[0].tolist(), "logits": logits[-LAST:].tolist(),
                      "logps": logps.tolist(), "greedy": continued})
    return cases


def make_models():
    for seed, (name, config) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        out = FIXTURES / "models" / name
        shutil.rmtree(out, ignore_errors=True)
        model = random_model(config)
        if name == "llama-shards":
            model.to(torch.bfloat16).save_pretrained(out, max_shard_size="18KB")
            assert len(list(out.glob("model-*-of-00003.safetensors"))) == 3, "change max_shard_size"
        else:
            model.save_pretrained(out)
        model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
        parameters = sum(parameter.numel() for parameter in model.parameters())
        write_json(out / "expected.json", {
            "transformers": transformers.__version__, "torch": torch.__version__,
            "parameters": parameters, "cases": expectations(model)})
        print(f"{name}: {parameters:,} parameters")


# ---------------------------------------------------------------- TRL

# (persona, then turns of: what the user says, the reference reply, a reply of somebody else)
DIALOGUES = [
    (["i keep bees behind the bakery.", "my sister sails."],
     [("hello, how was your morning?", "busy! the bees woke before i did.", "slow, i slept until noon."),
      ("do you sell the honey?", "only to the bakery next door.", "no, i am afraid of insects."),
      ("who helps you?", "nobody, my sister is always at sea.", "my two brothers do."),
      ("sounds lonely.", "a hive is never lonely.", "that is why i moved to the city.")]),
    (["i repair clocks.", "i am allergic to cats."],
     [("what is that ticking?", "forty clocks, and one that is wrong.", "that is my cat."),
      ("can you fix my watch?", "bring it on tuesday, i like small gears.", "i never learned to read the time."),
      ("do you have pets?", "no cats, they make me sneeze.", "five cats and a kitten."),
      ("a bird, then?", "the cuckoo in the hall is enough.", "i do not like wood.")]),
    (["i drive a night bus.", "i learn portuguese."],
     [("are you awake?", "always, the last bus is mine.", "i go to bed at eight."),
      ("what do you do at the stops?", "i practise portuguese verbs.", "i read about tractors."),
      ("say something!", "boa noite, mind the step.", "i only speak english."),
      ("very nice.", "obrigado. next stop, the harbour.", "i have no licence.")]),
    (["i grow tulips.", "i used to be a boxer."],
     [("your hands look strong.", "ten years in the ring, now i dig.", "i play the harp."),
      ("what do you dig?", "beds for tulips, red ones first.", "tunnels, i am a miner."),
      ("do you miss boxing?", "a little, tulips do not hit back.", "i have never seen a fight."),
      ("which is harder?", "waiting for spring.", "homework.")]),
    (["i paint lighthouses.", "i cannot swim."],
     [("is it dangerous up there?", "not the height, the water below.", "i work in an office."),
      ("why the water?", "i never learned to swim.", "i swim every day."),
      ("then why lighthouses?", "they stay where they are.", "they pay me in fish."),
      ("what colour is next?", "white, then red, then white again.", "i am colour blind.")]),
    (["i bake rye bread.", "i have three daughters."],
     [("what smells so good?", "rye, just out of the oven.", "that is petrol."),
      ("do you bake alone?", "my daughters shape the loaves.", "yes, i have no children."),
      ("all of them?", "two shape, the third eats.", "just my son."),
      ("may i have a slice?", "take the crust, it is the best.", "i do not eat bread.")]),
]

STEPS, BATCH = 6, 4
END = "<|end|>"


def trl_rows():
    pairs = []
    for persona, turns in DIALOGUES:
        text = "Persona:\n" + "".join(f"- {line}\n" for line in persona)
        for user, chosen, rejected in turns:
            text += f"User: {user}\nBot:"
            pairs.append({"prompt": text, "chosen": f" {chosen}", "rejected": f" {rejected}"})
            text += f" {chosen}\n"
    assert len(pairs) == STEPS * BATCH
    return pairs


def byte_tokenizer(texts):
    """A byte-level BPE of 290 tokens: bytes, the end token, and a few merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=290, special_tokens=[END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


class Log(TrainerCallback):
    """Keeps what the trainer logs at each step."""

    KEYS = ["loss", "grad_norm", "learning_rate", "rewards/chosen", "rewards/rejected", "rewards/margins",
            "rewards/accuracies", "logps/chosen", "logps/rejected", "accuracy", "margin", "mean_reward"]

    def __init__(self):
        self.steps = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "loss" in logs:
            row = {key: float(logs[key]) for key in self.KEYS if key in logs}
            self.steps.append({"step": state.global_step} | row)


def settings(folder):
    return dict(output_dir=folder, per_device_train_batch_size=BATCH, max_steps=STEPS, learning_rate=1e-3,
                lr_scheduler_type="constant", weight_decay=0.1, max_grad_norm=1.0, adam_epsilon=1e-8,
                logging_steps=1, use_cpu=True, bf16=False, gradient_checkpointing=False, max_length=1024,
                report_to=[], save_strategy="no", disable_tqdm=True, seed=0)


def train(trainer_class, config_class, model, rows, opened=None, **more):
    from datasets import Dataset
    from torch.utils.data import SequentialSampler

    class InFileOrder(trainer_class):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(self.train_dataset if dataset is None else dataset)

    log = Log()
    with tempfile.TemporaryDirectory() as folder:
        trainer = InFileOrder(
            model=opened or AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager"),
            args=config_class(**settings(folder) | more), train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(model), callbacks=[log])
        trainer.train()
    assert len(log.steps) == STEPS
    return log.steps


def make_trl():
    import trl
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

    torch.manual_seed(0)
    pairs = trl_rows()
    rows = [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in pairs]
    # One reply a prompt, three good ones and a bad one a batch.
    labels = [{"prompt": pair["prompt"], "completion": pair["rejected" if at % BATCH == 2 else "chosen"],
               "label": at % BATCH != 2} for at, pair in enumerate(pairs)]
    for folder, name, lines in [("trl_dpo", "pairs", pairs), ("trl_sft", "rows", rows), ("trl_kto", "labels", labels)]:
        shutil.rmtree(FIXTURES / folder, ignore_errors=True)
        (FIXTURES / folder).mkdir(parents=True)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (FIXTURES / folder / f"{name}.jsonl").write_text(text)

    model = FIXTURES / "trl_dpo" / "model"
    tokenizer = byte_tokenizer([pair["prompt"] + pair["chosen"] + pair["rejected"] for pair in pairs])
    end = tokenizer.eos_token_id
    config = LlamaConfig(**rotary(vocab_size=len(tokenizer), max_position_embeddings=1024, initializer_range=0.1,
                                  tie_word_embeddings=True, eos_token_id=end, pad_token_id=end))
    random_model(config).save_pretrained(model)
    tokenizer.save_pretrained(model)

    versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    shown = {"batch": BATCH, "learning_rate": 1e-3, "weight_decay": 0.1, "max_grad_norm": 1.0, "adam_epsilon": 1e-8}
    dpo = train(DPOTrainer, DPOConfig, model, pairs, beta=0.5, loss_type="sigmoid")
    assert abs(dpo[0]["loss"] - math.log(2)) < 1e-6
    write_json(FIXTURES / "trl_dpo" / "expected.json", versions | shown | {"beta": 0.5, "steps": dpo})
    low = train(DPOTrainer, DPOConfig, model, pairs, beta=0.5, loss_type="sigmoid", bf16=True)
    write_json(FIXTURES / "trl_dpo" / "expected_bf16.json", versions | shown | {"beta": 0.5, "steps": low})
    ipo = train(DPOTrainer, DPOConfig, model, pairs, beta=0.5, loss_type="ipo")
    write_json(FIXTURES / "trl_dpo" / "expected_ipo.json", versions | shown | {"beta": 0.5, "steps": ipo})
    kto = train(KTOTrainer, KTOConfig, model, labels, beta=0.5, desirable_weight=1.0, undesirable_weight=3.0)
    assert abs(kto[0]["loss"] - 0.75) < 1e-6
    write_json(FIXTURES / "trl_kto" / "expected.json", versions | shown | {"beta": 0.5, "steps": kto})
    sft = train(SFTTrainer, SFTConfig, model, rows)
    write_json(FIXTURES / "trl_sft" / "expected.json", versions | shown | {"steps": sft})
    print("DPO", [round(step["loss"], 4) for step in dpo])
    print("IPO", [round(step["loss"], 4) for step in ipo])
    print("KTO", [round(step["loss"], 4) for step in kto])
    print("SFT", [round(step["loss"], 4) for step in sft])


TEMPLATE = ("{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
            "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}")


def chat_rows():
    rows = []
    for persona, turns in DIALOGUES:
        history = [{"role": "system", "content": " ".join(persona)}]
        for user, chosen, rejected in turns:
            history.append({"role": "user", "content": user})
            reply = lambda text: [{"role": "assistant", "content": text}]
            rows.append({"prompt": list(history), "chosen": reply(chosen), "rejected": reply(rejected)})
            history += reply(chosen)
    return rows


def straddling_rows():
    """Prompts that end within a word, a character of several bytes or white space, so that tokens merge across."""
    ends = [("the bak", "ery.", "\n"), ("a hive ", "hums", "\n"), ("q🙂", "🙃 é", "\u200d👩"), ("i pain", "t.", "s?")]
    rows = []
    for at, pair in enumerate(trl_rows()):
        prompt, chosen, rejected = ends[at % 4]
        rows.append({"prompt": pair["prompt"] + " " + prompt, "chosen": chosen + pair["chosen"],
                     "rejected": rejected + pair["rejected"]})
    return rows


def make_trl_chat():
    import trl
    from tokenizers import processors
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    out = FIXTURES / "trl_chat"
    shutil.rmtree(out, ignore_errors=True)
    (out / "model").mkdir(parents=True)
    torch.manual_seed(1)
    chat, text = chat_rows(), straddling_rows()
    for name, rows in [("chat", chat), ("text", text)]:
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [row["prompt"] + row["chosen"] + row["rejected"] for row in trl_rows()]
    tokenizer = byte_tokenizer(words + ["the bakery a hive hums i paint paints"] * 40)
    tokenizer.add_special_tokens({"bos_token": "<s>", "pad_token": "<pad>",
                                  "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)])
    tokenizer.chat_template = TEMPLATE
    assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    config = LlamaConfig(**rotary(vocab_size=len(tokenizer), max_position_embeddings=1024, initializer_range=0.1,
                                  tie_word_embeddings=True, eos_token_id=tokenizer.eos_token_id,
                                  bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id))
    random_model(config).save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    shown = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__,
             "batch": BATCH, "learning_rate": 1e-3, "weight_decay": 0.1, "max_grad_norm": 1.0, "adam_epsilon": 1e-8}
    for name, rows in [("chat", chat), ("text", text)]:
        steps = train(DPOTrainer, DPOConfig, out / "model", rows, beta=0.5, loss_type="sigmoid")
        write_json(out / f"expected_{name}.json", shown | {"beta": 0.5, "steps": steps})
        print("DPO", name, [round(step["loss"], 4) for step in steps])
    rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in chat]
    (out / "sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = train(SFTTrainer, SFTConfig, out / "model", rows)
    write_json(out / "expected_sft.json", shown | {"steps": steps})
    print("SFT chat", [round(step["loss"], 4) for step in steps])


# ---------------------------------------------------------------- scoring heads

LABELS = ["ease", "topic", "trust"]
TEXTS = ["a", "i keep bees.", "User: hello!\nBot: busy, the bees woke before i did.", "forty clocks, one is wrong.",
         f"i keep bees.{END}{END}"]


def of_padded_batch(model, tokenizer, side):
    """The outputs for all texts, padded on one side, positions counted from the first real token."""
    batch = tokenizer(TEXTS, padding=True, padding_side=side, return_tensors="pt")
    positions = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(batch["input_ids"], attention_mask=batch["attention_mask"], position_ids=positions).logits


def make_score_model(name, config, seed):
    """A scoring head on a random model, and its outputs for all texts."""
    tokenizer = AutoTokenizer.from_pretrained(FIXTURES / "trl_dpo" / "model")
    torch.manual_seed(seed)
    out = FIXTURES / "scores" / name
    shutil.rmtree(out, ignore_errors=True)
    config = config.__class__(**config.to_dict() | {
        "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "problem_type": "regression",
        "id2label": dict(enumerate(LABELS)), "label2id": {label: at for at, label in enumerate(LABELS)}})
    random_model(config, AutoModelForSequenceClassification).save_pretrained(out)
    model = AutoModelForSequenceClassification.from_pretrained(out, dtype=torch.float32, attn_implementation="eager")
    outputs = {side: of_padded_batch(model.eval(), tokenizer, side) for side in ["left", "right"]}
    assert torch.allclose(outputs["left"], outputs["right"], atol=1e-5)
    # What ends in padding is read where its text ends.
    assert torch.allclose(outputs["right"][1], outputs["right"][-1], atol=1e-5)
    write_json(out / "expected.json", {
        "transformers": transformers.__version__, "torch": torch.__version__, "labels": LABELS, "texts": TEXTS,
        "outputs": outputs["right"].tolist()})


def make_score_models():
    for seed, name in enumerate(["gpt2", "llama", "mistral", "qwen2"]):
        make_score_model(name, MODELS[name], 100 + seed)


def make_score_losses():
    torch.manual_seed(7)
    logsigmoid = torch.nn.functional.logsigmoid
    nan = float("nan")
    cases = []

    def case(of, outputs, **settings):
        outputs.requires_grad_(True)
        value = of(outputs)
        value.backward()
        cases.append(settings | {"outputs": outputs.detach().flatten().tolist(), "value": value.item(),
                                 "gradient": outputs.grad.flatten().tolist()})

    ratings = torch.randn(5, 3, dtype=torch.float64)
    ratings[torch.tensor([[0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 1]]) == 1] = nan
    given = ~ratings.isnan()
    for weights in [[1.0, 1.0, 1.0], [0.5, 0.0, 2.0]]:
        weighed = torch.tensor(weights, dtype=torch.float64).expand(5, 3)[given]

        def regression(outputs):
            each = torch.nn.functional.mse_loss(outputs[given], ratings[given], reduction="none")
            return (weighed * each).sum() / weighed.sum()

        targets = [[None if value != value else value for value in row] for row in ratings.tolist()]
        case(regression, torch.randn(5, 3, dtype=torch.float64), loss="regression", weights=weights, targets=targets)
    for centre, margin in [(0.0, None), (0.0, [0.5, 0.0, 2.0, -1.0]), (0.1, None), (0.01, [0.5, 0.0, 2.0, -1.0])]:

        def bradley_terry(outputs):
            chosen, rejected = outputs[:, 0], outputs[:, 1]
            apart = chosen - rejected - (0.0 if margin is None else torch.tensor(margin, dtype=torch.float64))
            return -logsigmoid(apart).mean() + centre * torch.mean((chosen + rejected) ** 2)

        case(bradley_terry, 3 * torch.randn(4, 2, dtype=torch.float64), loss="bradley-terry", centre=centre,
             targets=None if margin is None else [[value] for value in margin])
    classes = torch.tensor([2, 0, 1, 1, 2])
    case(lambda outputs: torch.nn.functional.cross_entropy(outputs, classes), 2 * torch.randn(5, 3, dtype=torch.float64),
         loss="classification", classes=3, targets=[[at] for at in classes.tolist()])
    write_json(FIXTURES / "scores" / "losses.json", {"torch": torch.__version__, "cases": cases})


def make_trl_reward():
    import trl
    from trl import RewardConfig, RewardTrainer

    out = FIXTURES / "trl_reward"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    pairs = [pair | {"margin": at % 3 / 2} for at, pair in enumerate(trl_rows())]
    (out / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    folder = FIXTURES / "trl_dpo" / "model"
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32, attn_implementation="eager")
    # As ours begins.
    torch.nn.init.zeros_(model.score.weight)
    steps = train(RewardTrainer, RewardConfig, folder, pairs, opened=model, center_rewards_coefficient=0.05)
    write_json(out / "expected.json", {
        "trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__, "batch": BATCH,
        "learning_rate": 1e-3, "weight_decay": 0.1, "max_grad_norm": 1.0, "adam_epsilon": 1e-8,
        "center_rewards_coefficient": 0.05, "steps": steps})
    print("reward", [round(step["loss"], 4) for step in steps])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["models", "trl", "chat", "scores"],
                        default=["models", "trl", "chat", "scores"])
    chosen = parser.parse_args().what
    torch.set_num_threads(1)
    if "models" in chosen:
        make_models()
    if "trl" in chosen:
        make_trl()
    if "chat" in chosen:
        make_trl_chat()
    if "scores" in chosen:
        make_score_models()
        make_score_losses()
        make_trl_reward()
