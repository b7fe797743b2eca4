"""The type that every front end returns."""

import copy

import pytest
import torch
from torch import nn

import qnative
from qnative.report import Report


@pytest.fixture(scope="module")
def quantized():
    torch.manual_seed(0)
    x = torch.randn(4, 8)
    return qnative.quantize(nn.Sequential(nn.Linear(8, 4), nn.ReLU()), (x,), [x])


def test_it_is_a_graph_module_with_a_report(quantized):
    assert isinstance(quantized, qnative.QuantizedModule)
    assert isinstance(quantized, torch.fx.GraphModule)
    assert isinstance(quantized.report, Report)


def test_deepcopy_keeps_type_and_report(quantized):
    copied = copy.deepcopy(quantized)
    assert isinstance(copied, qnative.QuantizedModule)
    assert copied.report == quantized.report
    x = torch.randn(3, 8)
    assert torch.equal(copied(x), quantized(x))


def test_set_report(quantized):
    module = copy.deepcopy(quantized)
    report = Report(notes=["of another run"])
    module.set_report(report)
    assert copy.deepcopy(module).report.notes == ["of another run"]
    row = qnative.report.Row("exp", "", "aten.exp", "float", reason="no row")
    with pytest.raises(qnative.NotQuantizedError, match="exp"):
        module.set_report(Report([row]), strict=True)


def test_next_of_no_parameters_says_what_to_do(quantized):
    """Real code finds device and dtype by the first parameter."""
    assert list(quantized.parameters()) == []
    with pytest.raises(StopIteration, match=r"weights are buffers.*next\(module\.buffers\(\)\)"):
        next(quantized.parameters())
    assert next(quantized.buffers()).device.type == "cpu"


def test_parameters_of_float_layers_are_there():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 4), nn.RMSNorm(4)).eval()
    quantized = qnative.quantize(net, (torch.randn(4, 8),), recipe="dynamic")
    assert len(list(quantized.parameters())) == len(dict(quantized.named_parameters()))
