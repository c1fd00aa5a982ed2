"""Write tiny random models of each family, and what transformers makes of them, into tests/fixtures/models/.

    pip install torch transformers
    python scripts/make_family_references.py            # or: ... NAME ...

As scripts/make_references.py, which has the first four families; with odd sizes, windows, scalings and caps small enough
to matter. expected.json has also, for each stored parameter, what does not depend on its layout: the square of the norm
of its gradient, and the product of gradient and weights, where the loss is the sum of the longest sequence's log-probs.
scores/NAME/ are scoring heads of three of them, as there.
"""
import argparse
import shutil

import torch
import transformers
from make_references import FIXTURES, LENGTHS, VOCAB, expectations, make_score_model, random_model, write_json
from transformers import (AutoModelForCausalLM, Gemma2Config, Gemma3TextConfig, GPTNeoXConfig, LlamaConfig, Olmo2Config,
                          Phi3Config, Qwen2Config, Qwen3Config, SmolLM3Config)


def small(**more):
    options = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                   num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.4, bos_token_id=None,
                   eos_token_id=None, pad_token_id=None)
    return options | more


def neox(**more):
    options = small(hidden_size=32, **more)
    del options["num_key_value_heads"]
    return options


def yarn(**more):
    return dict(rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=16) | more


SLIDING, FULL = "sliding_attention", "full_attention"
MODELS = {
    "llama-yarn": LlamaConfig(**small(head_dim=12, rope_parameters=yarn(
        mscale=0.8, mscale_all_dim=0.3, beta_fast=4, beta_slow=0.5, truncate=False), hidden_act="gelu")),
    "qwen2-layers": Qwen2Config(**small(use_sliding_window=True, sliding_window=5, max_window_layers=1, num_hidden_layers=3,
                                        rope_parameters=dict(rope_type="dynamic", rope_theta=500.0, factor=3.0))),
    "qwen3": Qwen3Config(**small(head_dim=10, tie_word_embeddings=True, use_sliding_window=True, sliding_window=4,
                                 layer_types=[SLIDING, FULL])),
    "qwen3-yarn": Qwen3Config(**small(head_dim=8, attention_bias=True, num_key_value_heads=1, rope_parameters=yarn())),
    "phi3": Phi3Config(**small(sliding_window=5, rope_parameters=dict(
        rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))),
    # Shorter than some sequences, and crossed by generations.
    "phi3-longrope": Phi3Config(**small(
        hidden_size=32, num_key_value_heads=4, original_max_position_embeddings=16, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="longrope", rope_theta=100.0, partial_rotary_factor=0.75,
                             short_factor=[1.0, 1.3, 1.7], long_factor=[1.5, 3.0, 6.0]))),
    "smollm3": SmolLM3Config(**small(num_hidden_layers=4, no_rope_layer_interval=2, attention_bias=True, mlp_bias=True,
                                     use_sliding_window=True, sliding_window=6)),
    "olmo2": Olmo2Config(**small(attention_bias=True, rope_parameters=dict(
        rope_type="linear", rope_theta=500.0, factor=2.5))),
    "olmo2-tied": Olmo2Config(**small(tie_word_embeddings=True, num_key_value_heads=4, rms_norm_eps=1e-3)),
    "gpt_neox": GPTNeoXConfig(**neox()),
    # Heads of 12, of which 3 features are asked for and 4 turned.
    "gpt_neox-serial": GPTNeoXConfig(**neox(num_attention_heads=3) | dict(
        hidden_size=36, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new",
        tie_word_embeddings=True)),
    "gpt_neox-whole": GPTNeoXConfig(**neox(rope_parameters=yarn(partial_rotary_factor=1.0, attention_factor=1.2))),
    "gemma2": Gemma2Config(**small(head_dim=6, query_pre_attn_scalar=11, sliding_window=5, attn_logit_softcapping=1.5,
                                   final_logit_softcapping=6.0)),
    "gemma2-untied": Gemma2Config(**small(
        head_dim=8, attention_bias=True, attn_logit_softcapping=None, final_logit_softcapping=None, sliding_window=3,
        layer_types=[FULL, SLIDING], tie_word_embeddings=False, hidden_activation="gelu")),
    "gemma3": Gemma3TextConfig(**small(
        head_dim=6, num_hidden_layers=3, query_pre_attn_scalar=7, sliding_window=5, layer_types=[SLIDING, FULL, SLIDING],
        final_logit_softcapping=5.0, rope_parameters={
            FULL: dict(rope_type="linear", rope_theta=2000.0, factor=4.0),
            SLIDING: dict(rope_type="default", rope_theta=100.0)})),
}


def gradients(model, ids):
    model.zero_grad()
    ids = torch.tensor([ids])
    logits = model(ids).logits[0]
    logits[:-1].log_softmax(-1).gather(1, ids[0, 1:, None]).sum().backward()
    return {name: [parameter.grad.square().sum().item(), (parameter.grad * parameter).sum().item()]
            for name, parameter in model.named_parameters()}


def make(name, config, seed):
    torch.manual_seed(seed)
    out = FIXTURES / "models" / name
    shutil.rmtree(out, ignore_errors=True)
    model = random_model(config)
    if name.startswith("gemma"):
        # A scaled embedding that is the head as well makes every token predict itself.
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(0.2)
    model.save_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    cases = expectations(model)
    assert len(set(cases[0]["greedy"])) > 3, "a loop: change the seed"
    write_json(out / "expected.json", {
        "transformers": transformers.__version__, "torch": torch.__version__, "parameters": parameters, "cases": cases,
        "gradients": gradients(model, cases[LENGTHS.index(max(LENGTHS))]["ids"])})
    print(f"{name}: {parameters:,} parameters, seed {seed}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *MODELS, "scores"], default=[])
    wanted = parser.parse_args().names or [*MODELS, "scores"]
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for at, (name, config) in enumerate(MODELS.items()):
        for seed in range(100 + at, 10_000, 100):
            if name not in wanted:
                break
            try:
                make(name, config, seed)
                break
            except AssertionError as error:
                print(f"{name}, seed {seed}: {error}")
    if "scores" in wanted:
        for name in ["olmo2", "gpt_neox", "gemma3"]:
            make_score_model(name, MODELS[name], 7)
