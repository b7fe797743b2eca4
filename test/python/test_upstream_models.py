"""Models of the kinds that upstream tests its quantizers with, by PT2E and FX."""

import pytest
import torch
from torch.utils import _pytree as pytree
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)

import qnative
from qnative.fx import convert_fx, prepare_fx
from support.checks import sqnr
from support.upstream_models import CASES

# Those that torchao has patterns for.
X86 = (
    *("conv2d", "conv2d relu", "conv2d bn", "conv2d bn relu", "conv relu6", "conv hardtanh"),
    *("linear", "linear relu", "linear of three dimensions", "linear leaky_relu", "linear tanh"),
    *("depthwise conv", "shared layer", "nested modules", "add", "add relu"),
    *("add of one value", "residual block", "cat, conv", "matmul", "max_pool2d", "avg_pool2d"),
    *("adaptive_avg_pool2d", "hardswish", "flatten, linear", "encoder layer"),
)

pytestmark = pytest.mark.filterwarnings("ignore")  # torch deprecates FX and TorchScript


def batches(shape):
    return [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i in range(3)]


def made(case):
    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)
    return case.make().eval().requires_grad_(False)


def tensors(tree):
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def check(case, model, quantized, x, floats):
    for got, want in zip(tensors(quantized(x)), tensors(model(x)), strict=True):
        assert got.shape == want.shape
        assert torch.equal(got, want) or sqnr(got, want) > case.least
    for row in quantized.report.float_rows:
        kind = row.op.split(".")[1]
        assert kind in floats and floats[kind] in row.reason, (row.op, row.reason)
    assert any(row.verdict == "quantized" for row in quantized.report.rows)


def calibrated(prepared, data):
    for x in data:
        prepared(x)
    return prepared


def pt2e(model, data, quantizer):
    exported = torch.export.export(model, (data[0],)).module()
    return convert_pt2e(calibrated(prepare_pt2e(exported, quantizer), data))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.pt2e])
def test_pt2e(name):
    case = CASES[name]
    model, data = made(case), batches(case.shape)
    quantized = qnative.lower(pt2e(model, data, qnative.Quantizer()))
    check(case, model, quantized, data[0], dict(case.floats))


@pytest.mark.parametrize("name", CASES)
def test_fx(name):
    case = CASES[name]
    model, data = made(case), batches(case.shape)
    if case.fx_error:
        with pytest.raises(RuntimeError, match=case.fx_error):
            prepare_fx(model, None, (data[0],))
        return
    prepared = calibrated(prepare_fx(model, None, (data[0],)), data)
    quantized = convert_fx(prepared, dynamic_shapes=None)
    check(case, model, quantized, data[0], dict((*case.floats, *case.fx_floats)))


@pytest.mark.parametrize("name", X86)
def test_graphs_of_torchaos_x86_quantizer(name):
    """Lowered, they compute what torchao simulates."""
    case = CASES[name]
    model, data = made(case), batches(case.shape)
    quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config())
    simulated = pt2e(model, data, quantizer)
    quantized = qnative.lower(simulated)
    assert any(row.verdict == "quantized" for row in quantized.report.rows)
    for got, want in zip(tensors(quantized(data[0])), tensors(simulated(data[0])), strict=True):
        assert sqnr(got, want) > 30 or torch.equal(got, want)
