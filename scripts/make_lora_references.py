"""Write the small adapters that the tests of LoRA compare with, into tests/fixtures/lora/.

    pip install torch transformers peft trl accelerate datasets
    python scripts/make_lora_references.py

NAME/           an adapter of a base in ../models/ with random weights, saved by PEFT, and expected.json: logits of the
                last positions of several sequences, by PEFT in f32, beside the base and merged into it.
begun/, grown/  adapters of the base in ../trl_dpo/model: as PEFT begins one, and one with random weights.
score/          an adapter of the same base with a scoring head, as PEFT saves one; expected_score.json has its scores.
expected_*.json what TRL's DPOTrainer logs for six steps of training each of them on ../trl_dpo/pairs.jsonl in file
                order. The reference of the second is itself as it begins, not the bare base.

Everything here is random; nothing is downloaded. Made with the versions that each expected.json names.
"""
import json
import pathlib
import shutil

import peft
import torch
import transformers
import trl
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from make_references import BATCH, FIXTURES, VOCAB, train, write_json

OUT = FIXTURES / "lora"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
VERSIONS = {"peft": peft.__version__, "trl": trl.__version__, "transformers": transformers.__version__,
            "torch": torch.__version__}

ADAPTERS = {
    "llama-all": ("llama", dict(r=2, lora_alpha=3, target_modules=ALL)),
    "llama-some": ("llama", dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True,
                                 rank_pattern={"down_proj": 3}, alpha_pattern={"layers.1.self_attn.q_proj": 9},
                                 layers_to_transform=[0, 1])),
    "llama-dora": ("llama", dict(r=2, lora_alpha=4, target_modules=ALL, use_dora=True)),
    "llama-regex": ("llama", dict(r=1, lora_alpha=2, target_modules=r".*\.2\.mlp\.(up|gate)_proj")),
    "gpt2": ("gpt2", dict(r=2, lora_alpha=4, target_modules=["c_attn", "c_proj", "c_fc"])),
    # Tied to their heads: what is trained whole no longer is.
    "qwen2-embed": ("qwen2", dict(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"])),
    "qwen2-head": ("qwen2", dict(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=["lm_head"])),
    # Queries, keys and values in one matrix: by head in the first, one kind after the other in the second.
    "gpt_neox-dora": ("gpt_neox", dict(r=2, lora_alpha=3, target_modules=["query_key_value", "dense"], use_dora=True)),
    "phi3": ("phi3", dict(r=2, lora_alpha=3, target_modules="all-linear")),
    "gemma3": ("gemma3", dict(r=2, lora_alpha=3, target_modules="all-linear")),
}


def base(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def disturb(model):
    """Gives every trained value a random change: adapters begin as nothing."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                scale = 0.05 if "modules_to_save" in name else 0.2
                parameter.add_(torch.randn_like(parameter) * scale)
    return model


def save(model, out, named):
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    path = out / "adapter_config.json"
    config = json.loads(path.read_text())
    for key in ["target_modules", "modules_to_save"]:
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    path.write_text(json.dumps(config | {"base_model_name_or_path": named}, indent=1, sort_keys=True) + "\n")


def make_adapters():
    for seed, (name, (of, options)) in enumerate(ADAPTERS.items()):
        torch.manual_seed(200 + seed)
        options = LoraConfig(task_type="CAUSAL_LM", **options)
        model = disturb(get_peft_model(base(FIXTURES / "models" / of), options))
        save(model, OUT / name, f"../../models/{of}")
        model = PeftModel.from_pretrained(base(FIXTURES / "models" / of), OUT / name).eval()
        cases = []
        for length in [1, 7, 20]:
            ids = torch.randint(0, VOCAB, (1, length))
            with torch.no_grad():
                cases.append({"ids": ids[0].tolist(), "logits": model(ids).logits[0][-3:].tolist()})
        merged = model.merge_and_unload()
        for case in cases:
            with torch.no_grad():
                logits = merged(torch.tensor([case["ids"]])).logits[0][-3:]
            if name != "qwen2-embed":
                assert torch.allclose(logits, torch.tensor(case["logits"]), atol=1e-4), name
        trained = sum(p.numel() for n, p in model.named_parameters() if p.requires_grad)
        write_json(OUT / name / "expected.json", VERSIONS | {"cases": cases})
        print(name, trained)


def make_score():
    folder = FIXTURES / "trl_dpo" / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [json.loads(line) for line in (FIXTURES / "trl_reward" / "pairs.jsonl").read_text().splitlines()][:6]
    torch.manual_seed(400)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32,
                                                               attn_implementation="eager")
    model.config.pad_token_id = tokenizer.eos_token_id
    options = LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"])
    model = disturb(get_peft_model(model, options)).eval()
    save(model, OUT / "score", "../../trl_dpo/model")
    expected = []
    for row in rows:
        ids = torch.tensor([tokenizer(row["prompt"] + row["chosen"])["input_ids"]])
        with torch.no_grad():
            expected.append({"prompt": row["prompt"], "completion": row["chosen"], "score": model(ids).logits[0].item()})
    write_json(OUT / "expected_score.json", VERSIONS | {"rows": expected})
    print("score", [round(row["score"], 4) for row in expected])


def make_steps():
    from trl import DPOConfig, DPOTrainer

    folder = FIXTURES / "trl_dpo" / "model"
    pairs = [json.loads(line) for line in (FIXTURES / "trl_dpo" / "pairs.jsonl").read_text().splitlines()]
    shown = VERSIONS | {"batch": BATCH, "learning_rate": 1e-2, "weight_decay": 0.1, "max_grad_norm": 1.0,
                        "adam_epsilon": 1e-8, "beta": 0.5}
    for seed, name in enumerate(["begun", "grown"]):
        torch.manual_seed(300 + seed)
        options = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, target_modules=ALL)
        model = get_peft_model(base(folder), options)
        save(model if name == "begun" else disturb(model), OUT / name, "../../trl_dpo/model")
        model = PeftModel.from_pretrained(base(folder), OUT / name, is_trainable=True)
        steps = train(DPOTrainer, DPOConfig, folder, pairs, opened=model, beta=0.5, loss_type="sigmoid",
                      learning_rate=1e-2)
        write_json(OUT / f"expected_{name}.json", shown | {"steps": steps})
        print("DPO", name, [round(step["loss"], 4) for step in steps])


if __name__ == "__main__":
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    make_adapters()
    make_score()
    make_steps()
