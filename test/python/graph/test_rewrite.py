"""Spellings that become one form: the same function, and the ops that come out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.graph import nodes as ir
from qnative.graph.constants import fold_constants
from qnative.graph.export import export
from qnative.graph.rewrite import rewrite
from support.coverage.models import Call

B, H, L, S, E = 2, 3, 5, 6, 8


def kinds(module):
    return [ir.kind(node) for node in module.graph.nodes if ir.kind(node)]


def rewritten(model, inputs, attention=True):
    """The rewritten module, after it was compared with the model at two batch sizes."""
    module = export(model.eval(), inputs, "batch", "test").module
    fold_constants(module)
    rewrite(module, attention=attention)
    module.graph.lint()
    with torch.no_grad():
        torch.testing.assert_close(module(*inputs), model(*inputs), rtol=1e-5, atol=1e-5)
        more = tuple(torch.cat([x, -x]) if x.dtype.is_floating_point else x for x in inputs)
        if all(x.dtype.is_floating_point for x in inputs):
            torch.testing.assert_close(module(*more), model(*more), rtol=1e-5, atol=1e-5)
    return module


def heads(length=L):
    return torch.randn(B, H, length, E)


# ---- attention -----------------------------------------------------------------------------------


def eager(q, k, v, mask=None, scale=E**-0.5, dtype=None):
    """As Hugging Face writes it."""
    weights = torch.matmul(q, k.transpose(2, 3)) * scale
    if mask is not None:
        weights = weights + mask
    weights = F.softmax(weights, dim=-1, dtype=dtype).to(q.dtype)
    weights = F.dropout(weights, 0.1, training=False)
    return torch.matmul(weights, v).transpose(1, 2).contiguous()


def divided(q, k, v):
    return F.softmax(q @ k.mT / E**0.5, 3) @ v


def scaled_operands(q, k, v):
    return F.softmax((q * 0.5) @ (k / 2).permute(0, 1, 3, 2), -1) @ v


def batched(q, k, v):
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    bias = k.new_zeros(1, 1, 1) + 0.25
    scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=0.3)
    return torch.bmm(torch.softmax(scores, -1), v)


def masked(q, k, v):
    hidden = torch.ones(L, S, dtype=torch.bool).triu(1)
    return F.softmax((q @ k.mT).masked_fill(hidden, -1e9), -1) @ v


def two_masks(q, k, v):
    mask = torch.full((L, S), -1e9).triu(1)
    return F.softmax(q @ k.mT * 0.4 + mask + 0.5 * mask, -1) @ v


@pytest.mark.parametrize(
    "function",
    [
        eager,
        divided,
        scaled_operands,
        batched,
        masked,
        two_masks,
        lambda q, k, v: eager(q, k, v, dtype=torch.float32),
    ],
)
def test_attention(function):
    torch.manual_seed(0)
    module = rewritten(Call(function), (heads(), heads(S), heads(S)))
    found = kinds(module)
    assert found.count("scaled_dot_product_attention") == 1
    assert not {"softmax", "matmul", "bmm", "baddbmm"} & set(found)


def test_attention_with_a_mask_among_the_inputs():
    torch.manual_seed(0)
    mask = torch.randn(B, 1, L, S)
    module = rewritten(Call(eager), (heads(), heads(S), heads(S), mask))
    (node,) = [n for n in module.graph.nodes if ir.kind(n) == "scaled_dot_product_attention"]
    assert node.args[3].name == "inputs_3" and node.kwargs["scale"] == pytest.approx(E**-0.5)


@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_attention(need_weights):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    model = Call(lambda x: attention(x, x, x, need_weights=need_weights)[0])
    model.attention = attention
    found = kinds(rewritten(model, (torch.randn(2, 5, 8),)))
    assert found.count("scaled_dot_product_attention") == 1 and "softmax" not in found


STAYS = {
    "weights are read": lambda q, k, v: (w := F.softmax(q @ k.mT, -1), w @ v),
    "softmax over queries": lambda q, k, v: F.softmax(q @ k.mT, -2) @ v,
    "scaled after the mask": lambda q, k, v: F.softmax((q @ k.mT + 1.5 * q[..., :1]) * 2, -1) @ v,
    "a sum of products": lambda q, k, v: F.softmax(q @ k.mT + k[:, :, :L] @ k.mT, -1) @ v,
    "a mask that makes scores larger": lambda q, k, v: (
        F.softmax(q[:, :1] @ k[:, :1].mT + q[..., :1], -1) @ v
    ),
}


@pytest.mark.parametrize("why", STAYS)
def test_it_stays(why):
    torch.manual_seed(0)
    module = rewritten(Call(STAYS[why]), (heads(), heads(S), heads(S)))
    assert "softmax" in kinds(module)


def test_without_a_row_attention_stays():
    torch.manual_seed(0)
    module = rewritten(Call(eager), (heads(), heads(S), heads(S)), attention=False)
    assert "softmax" in kinds(module)


# ---- products ------------------------------------------------------------------------------------


def constant(*shape):
    return torch.randn(shape)


PRODUCTS = {
    "addmm": (lambda x, w, b: torch.addmm(b, x, w), (4, 8), ["linear"]),
    "mm": (lambda x, w, b: torch.mm(x, w), (4, 8), ["linear"]),
    "matmul": (lambda x, w, b: x @ w + b, (2, 4, 8), ["linear", "add"]),
    "scaled addmm": (
        lambda x, w, b: torch.addmm(b, x, w, beta=2, alpha=0.5),
        (4, 8),
        ["linear", "mul", "mul", "add"],
    ),
    "beta 0": (lambda x, w, b: torch.addmm(b, x, w, beta=0), (4, 8), ["linear"]),
    "matrix as bias": (lambda x, w, b: torch.addmm(x[:, :6], x, w), (4, 8), None),
    "einsum": (lambda x, w, b: torch.einsum("bld,de->ble", x, w), (2, 4, 8), None),
    "einsum, transposed": (lambda x, w, b: torch.einsum("bld,de->bel", x, w), (2, 4, 8), None),
    "einsum of heads": (
        lambda x, w, b: torch.einsum("bld,dhe->bhle", x, w.view(8, 2, 3)),
        (2, 4, 8),
        None,
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_with_a_constant(name):
    torch.manual_seed(0)
    function, shape, wanted = PRODUCTS[name]
    module = rewritten(Call(function, w=constant(8, 6), b=constant(6)), (torch.randn(shape),))
    found = kinds(module)
    assert "linear" in found and not {"addmm", "mm", "matmul", "einsum"} & set(found)
    assert wanted is None or sorted(found) == sorted(wanted)


EINSUMS = [
    "bhid,bhjd->bhij",
    "bhij,bhjd->bhid",
    "ab,ca->bc",
    "bi,bj->bij",
    "bij,bij->b",
    "ii,ij->j",
]


@pytest.mark.parametrize("equation", EINSUMS)
def test_einsum_of_two_inputs(equation):
    torch.manual_seed(0)
    left, right = equation.split("->")[0].split(",")
    inputs = tuple(torch.randn([4] * len(term)) for term in (left, right))
    model = Call(lambda x, y: torch.einsum(equation, x, y))
    module = export(model, inputs, None, "test").module
    rewrite(module, attention=True)
    torch.testing.assert_close(module(*inputs), model(*inputs))
    assert ("einsum" in kinds(module)) == (equation in EINSUMS[3:4] + EINSUMS[5:])


def test_views_around_a_layer_are_removed():
    torch.manual_seed(0)

    def conv1d(x, w, b):
        y = torch.addmm(b, x.view(-1, x.size(-1)), w)
        return F.gelu(y.view(*x.size()[:-1], 6))

    parameters = {"w": constant(8, 6), "b": constant(6)}
    module = rewritten(Call(conv1d, **parameters), (torch.randn(2, 4, 8),))
    assert kinds(module)[-2:] == ["linear", "gelu"] and "view" not in kinds(module)

    def other_shape(x, w, b):
        return torch.addmm(b, x.view(-1, 8), w).view(-1, 2, 2, 6)

    module = rewritten(Call(other_shape, **parameters), (torch.randn(2, 4, 8),))
    assert kinds(module).count("view") == 2


def test_layers_share_a_weight_but_not_a_name():
    """The names of two parameters that differ in a dot, and one that is taken."""
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Module()
            self.a.b, self.a_b = nn.Parameter(constant(8, 8)), nn.Parameter(constant(8, 8))
            self.register_buffer("a_b_transposed", constant(8))

        def forward(self, x):
            return ((x @ self.a.b) @ self.a_b + self.a_b_transposed) @ self.a.b

    module = rewritten(Net(), (torch.randn(4, 8),))
    linears = [node for node in module.graph.nodes if ir.kind(node) == "linear"]
    assert [node.args[1].target for node in linears] == [
        "a_b_transposed_",
        "a_b_transposed__",
        "a_b_transposed_",
    ]


def test_gpt2_layers_run_in_int8():
    torch.manual_seed(0)
    model = Call(
        lambda x, w, b: torch.addmm(b, x.view(-1, 8), w).view(2, 4, 6),
        w=constant(8, 6),
        b=constant(6),
    )
    x = torch.randn(2, 4, 8)
    for recipe, op in (("static", "linear"), ("dynamic", "linear_dynamic")):
        result = qnative.quantize(model, (x,), [x], recipe=recipe)
        assert [row.kernel for row in result.report.rows if row.verdict == "quantized"] == [
            f"qnative.{op}"
        ]
        assert (result(x) - model(x)).norm() / model(x).norm() < 0.02


# ---- activations ---------------------------------------------------------------------------------


def test_activations_that_are_written_out():
    torch.manual_seed(0)
    x = 3 * torch.randn(4, 8)

    def gpt2(x):
        inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 3.0))
        return 0.5 * x * (1.0 + torch.tanh(inner))

    assert kinds(rewritten(Call(gpt2), (x,))) == ["gelu"]
    assert kinds(rewritten(Call(lambda x: x * torch.sigmoid(x)), (x,))) == ["silu"]
    assert kinds(rewritten(Call(lambda x: torch.sigmoid(x) * x), (x,))) == ["silu"]
    assert kinds(rewritten(Call(lambda x: x * torch.sigmoid(2 * x)), (x,))) == [
        "mul",
        "sigmoid",
        "mul",
    ]
    assert kinds(rewritten(Call(lambda x: x.to(torch.float32).abs()), (x,))) == ["abs"]
    assert kinds(rewritten(Call(lambda x: x.type_as(x.abs()).neg()), (x,))) == ["neg"]


# ---- norms ---------------------------------------------------------------------------------------


def llama(x, w, eps=1e-5):
    x = x.to(torch.float32)
    variance = x.pow(2).mean(-1, keepdim=True)
    return w * (x * torch.rsqrt(variance + eps)).to(x.dtype)


NORMS = {
    "llama": llama,
    "square": lambda x, w: x * torch.rsqrt(1e-6 + x.square().mean(-1, keepdim=True)) * w,
    "product": lambda x, w: (x * x).mean([2], keepdim=True).add(1e-6).rsqrt() * x,
}
NO_NORMS = {
    "another power": lambda x, w: x * torch.rsqrt(x.pow(4).mean(-1, keepdim=True) + 1e-6),
    "another dimension": lambda x, w: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6),
    "without keepdim": lambda x, w: x[:, :, 0] * torch.rsqrt(x.pow(2).mean(-1) + 1e-6),
    "another factor": lambda x, w: w * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
    "a factor of two": lambda x, w: x * torch.rsqrt(x.pow(2).mean(-1, True).add(w[:1], alpha=2)),
}


@pytest.mark.parametrize("name", NORMS)
def test_rms_norm(name):
    torch.manual_seed(0)
    module = rewritten(Call(NORMS[name], w=constant(8)), (torch.randn(2, 4, 8),))
    assert kinds(module) == ["rms_norm"]


@pytest.mark.parametrize("name", NO_NORMS)
def test_no_rms_norm(name):
    torch.manual_seed(0)
    module = rewritten(Call(NO_NORMS[name], w=constant(8).abs()), (torch.randn(2, 4, 8),))
    assert "rms_norm" not in kinds(module)


def test_rms_norm_keeps_small_squares():
    """One large value of 1000: the mean of squares in 8 bits would be 0 or one step."""
    torch.manual_seed(0)
    linear, x = nn.Linear(64, 32), torch.randn(16, 64)
    x[:, 0] *= 50
    model = Call(lambda x, w: linear(llama(x, w)), w=torch.rand(64))
    model.linear = linear
    result = qnative.quantize(model, (x,), [x])
    assert (result(x) - model(x)).norm() / model(x).norm() < 0.05
