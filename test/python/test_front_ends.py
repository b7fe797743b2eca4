"""One ResNet-18 through every static front end: the same weights and scales, bit by bit."""

import copy

import pytest
import torch
import torch.ao.quantization as tq
from torch.ao.quantization import quantize_fx
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

import qnative
from qnative.fx import convert_fx, default_qconfig_mapping, prepare_fx, prepare_qat_fx
from support.quantized_models import ResNet, quiet, saved


def fed(prepared, batches):
    for batch in batches:
        prepared(batch)
    return prepared


def by_fx(model, batches, path):
    return convert_fx(fed(prepare_fx(model, None, (batches[0],)), batches))


def by_pt2e(model, batches, path):
    exported = torch.export.export(model, (batches[0],)).module()
    return qnative.lower(convert_pt2e(fed(prepare_pt2e(exported, qnative.Quantizer()), batches)))


def by_quantize(model, batches, path):
    """Without calibrated rounding and bias correction."""
    options = {"weight_rounding": "nearest", "bias_correction": False}
    return qnative.quantize(model, (batches[0],), batches, **options)


def by_eager(model, batches, path):
    eager = ResNet(model.conv.out_channels, eager=True).eval()
    eager.load_state_dict(model.state_dict())
    wrapped = tq.QuantWrapper(eager).eval()
    wrapped.module.fuse()
    wrapped.qconfig = default_qconfig_mapping().global_qconfig
    return qnative.convert(fed(quiet(tq.prepare, wrapped), batches), (batches[0],))


def by_migrate(model, batches, path):
    """Upstream's FX quantization with our observers, and its TorchScript file."""
    mapping = default_qconfig_mapping()
    prepared = quiet(quantize_fx.prepare_fx, copy.deepcopy(model), mapping, (batches[0],))
    old = quiet(quantize_fx.convert_fx, fed(prepared, batches))
    file = saved(quiet(torch.jit.trace, old, batches[0]), path / "old.pt")
    return qnative.migrate(file, path / "new.pt").module


def calls(module, x):
    """Every call of qnative in the TorchScript, in order, with its constants."""
    if not isinstance(module, torch.jit.ScriptModule):
        module = quiet(torch.jit.trace, module, x)
        module = torch.jit.freeze(module.eval())
    return [
        (node.kind(), [each.toIValue() for each in node.inputs()])
        for node in module.graph.nodes()
        if node.kind().startswith("qnative::")
    ]


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype is b.dtype and torch.equal(a, b)
    return a == b


def resnet(width):
    """A model with running statistics, and calibration batches."""
    torch.manual_seed(0)
    model = ResNet(width)
    batches = [torch.randn(2, 3, 32, 32) for _ in range(2)]
    fed(model, batches)
    return model.eval(), batches


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Full width: 11 million weights, enough to contain rounding ties."""
    model, batches = resnet(64)
    path = tmp_path_factory.mktemp("files")
    return model, batches, path, by_fx(model, batches, path)


@torch.no_grad()
@pytest.mark.parametrize("front_end", [by_pt2e, by_quantize, by_migrate])
def test_front_ends_agree(case, front_end):
    model, batches, path, reference = case
    wanted, result = calls(reference, batches[0]), front_end(model, batches, path)
    got = calls(result, batches[0])
    # PT2E leaves the model's output in float32.
    *inside, (op, last), (_, dequantized) = wanted
    for (kind, args), (other_kind, others) in zip(inside, got, strict=False):
        assert kind == other_kind
        assert all(map(same, args, others)), kind
    other_op, others = got[len(inside)]
    weight_scale_and_bias = 7
    assert op == other_op == "qnative::linear"
    assert all(map(same, last[:weight_scale_and_bias], others[:weight_scale_and_bias]))
    for batch in batches:
        difference = (reference(batch) - result(batch)).abs().max()
        if front_end is by_migrate:
            assert difference == 0
        # Quantizing the output changes it by up to half a step.
        assert difference <= 0.5001 * dequantized[1]


@torch.no_grad()
def test_eager_has_the_same_weights():
    """The scale after the pool differs: other front ends observe it with the pool's input."""
    model, batches = resnet(8)
    reference, result = by_fx(model, batches, None), by_eager(model, batches, None)
    wanted = calls(reference, batches[0])
    got = calls(result, batches[0])
    assert [kind for kind, _ in wanted] == [kind for kind, _ in got]
    for (kind, args), (_, others) in zip(wanted, got, strict=True):
        for arg, other in zip(args, others, strict=True):
            assert not isinstance(arg, torch.Tensor) or same(arg, other), kind
    y = model(batches[0])
    for each in (reference, result):
        assert (each(batches[0]) - y).abs().max() < 0.03 * y.abs().max()


@pytest.mark.parametrize(
    "front_end",
    [
        lambda model, x: qnative.quantize(model, (x,), [x]),
        lambda model, x: qnative.dry_run(model, (x,)),
        lambda model, x: qnative.quantize_dynamic(model),
        lambda model, x: prepare_fx(model, None, (x,)),
        lambda model, x: prepare_qat_fx(model, None, (x,)),
    ],
    ids=["quantize", "dry_run", "quantize_dynamic", "prepare_fx", "prepare_qat_fx"],
)
@pytest.mark.parametrize("layer", [torch.nn.Linear(4, 3), torch.nn.LSTM(4, 3)])
def test_torchscript_is_for_migrate(front_end, layer):
    script = quiet(torch.jit.script, layer)
    with pytest.raises(TypeError, match=r"the model is TorchScript: .*qnative\.migrate"):
        front_end(script, torch.randn(2, 2, 4))
