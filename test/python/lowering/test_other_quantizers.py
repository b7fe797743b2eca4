"""Graphs that another quantizer annotated: they are lowered, or an error names the node, what it
has that qnative lacks, and the remedy."""

import pytest
import torch
from torch import nn
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver, PlaceholderObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

import qnative
from support.nets import kernels_of

SMALL = MinMaxObserver.with_args(eps=2**-12)


class Other(Quantizer):
    """Annotates the inputs of linear and embedding nodes."""

    def __init__(self, activation, weight):
        self.activation, self.weight = activation, weight

    def annotate(self, model):
        for node in model.graph.nodes:
            if "linear" in str(node.target):
                specs = dict(zip(node.args[:2], (self.activation, self.weight), strict=True))
            elif "embedding" in str(node.target):
                specs = {node.args[0]: self.weight}
            else:
                continue
            known = {source: spec for source, spec in specs.items() if spec is not None}
            node.meta["quantization_annotation"] = QuantizationAnnotation(known, _annotated=True)
        return model

    def validate(self, model):
        pass


def spec(dtype, least, most, observer=SMALL, scheme=torch.per_tensor_affine, **options):
    return QuantizationSpec(dtype, observer, least, most, scheme, **options)


def per_channel(dtype, least, most, scheme=torch.per_channel_symmetric):
    observer = PerChannelMinMaxObserver.with_args(eps=2**-12)
    return spec(dtype, least, most, observer, scheme, ch_axis=0)


def converted(net, x, activation, weight):
    exported = torch.export.export(net.eval(), (x,)).module()
    prepared = prepare_pt2e(exported, Other(activation, weight))
    prepared(x)
    return convert_pt2e(prepared)


U8, W8 = spec(torch.uint8, 0, 255), per_channel(torch.int8, -128, 127)
DYNAMIC = spec(
    torch.int8,
    -128,
    127,
    PlaceholderObserver.with_args(dtype=torch.int8, quant_min=-128, quant_max=127, is_dynamic=True),
    is_dynamic=True,
)


@pytest.mark.parametrize("weight", [W8, per_channel(torch.int8, -8, 7)], ids=["8 bits", "4 bits"])
def test_linear_layers_are_lowered(weight):
    torch.manual_seed(0)
    x = torch.randn(4, 8)
    other = converted(nn.Linear(8, 8), x, U8, weight)
    lowered = qnative.lower(other)
    assert lowered.report.count("quantized") == 1
    assert torch.allclose(lowered(x), other(x), atol=1e-5)


I16 = spec(torch.int16, -(2**15), 2**15 - 1, scheme=torch.per_tensor_symmetric)


def test_int16_is_lowered_where_an_op_takes_it():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

        def forward(self, x):
            return self.norm(x + self.fc(x))

    class Words(Other):
        """int16 but for the input and the weight of the linear layer."""

        def annotate(self, model):
            for node in model.graph.nodes:
                if node.op != "call_function":
                    continue
                is_linear = "linear" in str(node.target)
                specs = dict.fromkeys(node.args[: 1 if "norm" in str(node.target) else 2], I16)
                if is_linear:
                    specs = dict(zip(node.args[:2], (U8, W8), strict=True))
                known = {
                    source: spec for source, spec in specs.items() if not isinstance(source, list)
                }
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    known, I16, _annotated=True
                )
            return model

    torch.manual_seed(0)
    x = torch.randn(40, 8)
    exported = torch.export.export(Sum().eval(), (x,)).module()
    prepared = prepare_pt2e(exported, Words(None, None))
    prepared(x)
    other = convert_pt2e(prepared)
    lowered = qnative.lower(other)
    assert not lowered.report.float_rows
    assert kernels_of(lowered) == ["linear", "add", "layer_norm"]
    error = (lowered(x) - other(x)).abs().max()
    assert error < 1e-3, error
    alone = qnative.lower(converted(nn.Linear(8, 8), x, I16, W8))
    (row,) = alone.report.float_rows
    assert row.reason == "its input is int16, which qnative.linear does not have"


def test_tables_with_float_zero_points_become_real_numbers():
    torch.manual_seed(0)
    weight = per_channel(torch.uint8, 0, 255, torch.per_channel_affine_float_qparams)
    x = torch.tensor([1, 2, 3])
    other = converted(nn.Embedding(10, 8), x, None, weight)
    lowered = qnative.lower(other)
    assert torch.equal(lowered(x), other(x))
    assert not any("quantized_decomposed" in str(node.target) for node in lowered.graph.nodes)
    traced = torch.jit.trace(lowered, (x,))
    assert torch.equal(traced(x), other(x))


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (spec(torch.int16, -(2**15), 2**15 - 1), "its zero point is not 0, which int16 needs"),
        (spec(torch.int32, -(2**31), 2**31 - 1), "its dtype is torch.int32, not"),
        (spec(torch.float8_e4m3fn, -448, 447), "its dtype is torch.float8_e4m3fn, not"),
        (DYNAMIC, r"there is no qnative op for quantized_decomposed\.choose_qparams"),
    ],
    ids=["affine int16", "int32", "float8", "dynamic"],
)
def test_what_cannot_be_lowered(activation, message):
    other = converted(nn.Linear(8, 8), torch.randn(4, 8), activation, W8)
    with pytest.raises(ValueError, match=rf"qnative\.lower: \w+: {message}.*qnative\.Quantizer"):
        qnative.lower(other)
