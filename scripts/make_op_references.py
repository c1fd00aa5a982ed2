"""Write what torch makes of each operation, values and gradients in f64, for `crates/nn/src/ops/flex/tests/torch.rs`.

    python scripts/make_op_references.py

Inputs are a formula that both sides compute (`noise`), so tests/fixtures/ops.json holds only results: `out`, and
`grads`, those of the sum of outputs weighted by noise, one list an input. Needs torch.
"""
import json
import pathlib

import torch
from torch.nn import functional as F

OUT = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "ops.json"
DEPTHS = [0, 1, 2, 3, 2, 3, 4, 1, 2, 0, 1, 2, 2]
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 8
torch.set_default_dtype(torch.float64)


def noise(shape, seed):
    count = torch.Size(shape).numel()
    values = [((i * 7919 + seed * 104729) % 1009) / 504.5 - 1.0 for i in range(count)]
    return torch.tensor(values).reshape(shape)


def result(op, *inputs):
    inputs = [x.clone().requires_grad_() for x in inputs]
    out = op(*inputs)
    (out * noise(out.shape, 5)).sum().backward()
    return {"out": out.flatten().tolist(), "grads": [x.grad.flatten().tolist() for x in inputs]}


def attention(qkv, scale=HEAD_DIM**-0.5, cap=None):
    width = len(DEPTHS)
    ends = [next((j for j in range(i + 1, width) if DEPTHS[j] <= DEPTHS[i]), width) for i in range(width)]
    query, key, value = qkv.reshape(width, -1, HEAD_DIM).split([HEADS, KV_HEADS, KV_HEADS], 1)
    angles = torch.tensor(DEPTHS)[:, None] * 0.7 ** torch.arange(HEAD_DIM // 2)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]

    def turn(x):
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    share = HEADS // KV_HEADS
    query, key, value = turn(query), turn(key).repeat_interleave(share, 1), value.repeat_interleave(share, 1)
    seen = torch.tensor([[j <= i < ends[j] for j in range(width)] for i in range(width)])
    scores = torch.einsum("qhd,khd->hqk", query, key) * scale
    scores = scores if cap is None else cap * torch.tanh(scores / cap)
    weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
    return torch.einsum("hqk,khd->qhd", weights, value).reshape(width, -1)


def logits(hidden, head, cap):
    logits = hidden @ head.T
    return logits if cap is None else cap * torch.tanh(logits / cap)


def token_logps(hidden, head, cap=None):
    targets = torch.tensor([i * 31 % len(head) for i in range(len(hidden))])
    return F.log_softmax(logits(hidden, head, cap), -1).gather(1, targets[:, None])[:, 0]


def capped_entropy(hidden, head):
    logps = F.log_softmax(logits(hidden, head, 0.9), -1)
    return -(logps.exp() * logps).sum(-1)


def gated(curve):
    def op(x):
        gate, up = x.chunk(2, -1)
        return curve(gate) * up

    return op


def gelu_tanh(x):
    return F.gelu(x, approximate="tanh")


def adamw():
    """Two steps of torch's AdamW, clipped, on one vector."""
    weight = torch.nn.Parameter(noise([50], 1))
    optimizer = torch.optim.AdamW([weight], lr=0.02, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    for seed in [2, 3]:
        weight.grad = noise([50], seed)
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()
    return weight.detach().tolist()


x = noise([5, 10], 11)
references = {
    "tree_attention": result(attention, noise([len(DEPTHS), (HEADS + 2 * KV_HEADS) * HEAD_DIM], 3)),
    "capped_attention": result(lambda qkv: attention(qkv, 0.4, 0.7),
                               noise([len(DEPTHS), (HEADS + 2 * KV_HEADS) * HEAD_DIM], 3)),
    "capped_logps": result(lambda hidden, head: token_logps(hidden, head, 0.9), noise([7, 10], 4), noise([23, 10], 9)),
    "capped_entropy": result(capped_entropy, noise([7, 10], 4), noise([23, 10], 9)),
    "token_logps": result(token_logps, noise([7, 10], 4), noise([23, 10], 9)),
    "rms_norm": result(lambda x, w: F.rms_norm(x, [10], w, 1e-2), x, noise([10], 12)),
    "layer_norm": result(lambda x, w, b: F.layer_norm(x, [10], w, b, 1e-2), x, noise([10], 12), noise([10], 13)),
    "swiglu": result(gated(F.silu), 4 * noise([3, 16], 6)),
    "geglu": result(gated(F.gelu), 4 * noise([3, 16], 6)),
    "geglu_tanh": result(gated(gelu_tanh), 4 * noise([3, 16], 6)),
    "gelu": result(F.gelu, 4 * noise([3, 16], 6)),
    "gelu_tanh": result(gelu_tanh, 4 * noise([3, 16], 6)),
    "embed": result(lambda table: table[torch.tensor([3, 1, 3, 0])], noise([6, 4], 7)),
    "project": result(torch.matmul, noise([5, 10], 11), noise([10, 7], 8)),
    "adamw": adamw(),
}
OUT.write_text(json.dumps(references) + "\n")
