"""qnative.migrate of statically quantized models: every engine and TorchScript form."""

import pytest
import torch

import qnative
from support.checks import python
from support.quantized_models import (
    ENGINES,
    ResNet,
    Zoo,
    eager_model,
    fx_model,
    old_kinds,
    quiet,
    saved,
    to_script,
    with_engine,
)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 32, 32, generator=generator) for _ in range(3)]


@pytest.fixture(scope="module")
def resnet(images):
    torch.manual_seed(0)
    model = ResNet(blocks=(1, 1, 1, 1))
    for _ in range(3):
        model(images[0])  # running statistics
    return model.eval()


def quantum(module):
    """The scale of the last quantized value: one step of the output."""
    scales = [
        float(node.inputsAt(1).toIValue())
        for node in module.graph.findAllNodes("qnative::dequantize_per_tensor", True)
    ]
    return scales[-1]


def check(script, x, path, steps=1.0):
    """Migrates a file and compares the outputs. steps: tolerance in quanta."""
    before = quiet(script, x)
    file = saved(script, path / "old.pt")
    result = qnative.migrate(file, path / "new.pt", example_inputs=(x,))
    assert result.complete
    assert not [row for row in result.rows if row.verdict != "moved"]
    loaded = torch.jit.load(path / "new.pt")
    assert old_kinds(loaded) == set()
    after = loaded(x)
    assert torch.equal(after, result.module(x))
    assert (after - before).abs().max() == pytest.approx(result.max_difference)
    # Upstream rounds the requantized sum differently: one step at a tie.
    assert result.max_difference <= steps * quantum(loaded) * 1.0001
    return result, loaded


@pytest.mark.parametrize("form", ["script", "trace", "freeze"])
@pytest.mark.parametrize("engine", ENGINES)
def test_fx_resnet(tmp_path, resnet, images, engine, form):
    model = with_engine(engine, fx_model, resnet, images, engine)
    script = with_engine(engine, to_script, model, images[0], form)
    result, loaded = with_engine(engine, check, script, images[0], tmp_path, 2)
    ops = {row.kernel for row in result.rows}
    assert {"qnative::conv2d", "qnative::add", "qnative::linear", "qnative::max_pool2d"} <= ops
    assert loaded(images[1]).shape == (2, 10)


@pytest.mark.parametrize("form", ["script", "trace"])
@pytest.mark.parametrize("engine", ENGINES)
def test_eager_resnet(tmp_path, images, engine, form):
    torch.manual_seed(0)
    model = ResNet(blocks=(1, 1), eager=True).eval()
    quantized = with_engine(engine, eager_model, model, images, engine)
    script = with_engine(engine, to_script, quantized, images[0], form)
    with_engine(engine, check, script, images[0], tmp_path, 2)


@pytest.mark.parametrize("form", ["script", "trace"])
def test_zoo(tmp_path, form):
    """Not with fbgemm, whose outputs for this model vary between runs."""
    torch.manual_seed(0)
    engine = "x86"
    batches = [torch.randn(2, 2, 1, 8, 8) for _ in range(3)]
    model = with_engine(engine, fx_model, Zoo(), batches, engine)
    script = with_engine(engine, to_script, model, batches[0], form)
    # One step of an op is several steps of later ops, whose scales are smaller.
    result, _ = check(script, batches[0], tmp_path, 4)
    ops = {row.op for row in result.rows}
    for name in ("conv1d", "conv3d", "conv_transpose2d", "hardswish", "elu"):
        assert any(op.startswith(f"quantized::{name}") for op in ops), name


def test_file_needs_only_the_library(tmp_path, resnet, images):
    model = with_engine("x86", fx_model, resnet, images, "x86")
    script = to_script(model, images[0], "trace")
    check(script, images[0], tmp_path, 2)
    torch.save(images[0], tmp_path / "x.pt")
    code = f"""
import torch, warnings
# torch warns of every quantized tensor, and that jit.load is old.
warnings.simplefilter("error")
warnings.filterwarnings("ignore", message=".*torch.jit.load")
torch.ops.load_library({qnative.library_path()!r})
model = torch.jit.load({str(tmp_path / "new.pt")!r})
print(model(torch.load({str(tmp_path / "x.pt")!r})).shape)
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "[2, 10]" in done.stdout


def test_module_does_not_change(resnet, images):
    model = with_engine("x86", fx_model, resnet, images, "x86")
    script = to_script(model, images[0], "script").train()
    graph, training = str(script.inlined_graph), script.training
    qnative.migrate(script)
    assert str(script.inlined_graph) == graph
    assert script.training is training


def test_weights_are_those_of_the_fx_model(resnet, images):
    model = with_engine("x86", fx_model, resnet, images, "x86")
    result = qnative.migrate(to_script(model, images[0], "trace"))
    layers = [m for m in model.modules() if isinstance(m, torch.ao.nn.quantized.Conv2d)]
    nodes = result.module.graph.findAllNodes("qnative::conv2d", True)
    assert len(nodes) == len(layers) > 8

    def key(weight, scale):
        return (*weight.shape, *weight.flatten()[:8].tolist(), float(scale[0]))

    wanted = {}
    for layer in layers:
        weight = quiet(layer.weight)
        scale = weight.q_per_channel_scales().float()
        wanted[key(weight.int_repr(), scale)] = (weight.int_repr(), scale, layer.bias())
    for node in nodes:
        packed, scale, bias, shape = (node.inputsAt(i).toIValue() for i in range(3, 7))
        weight = torch.ops.qnative.conv2d_unpack(packed, shape, 1)
        for got, expected in zip((weight, scale, bias), wanted[key(weight, scale)], strict=True):
            assert torch.equal(got, expected)
