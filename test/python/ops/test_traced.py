"""The ops in graphs: torch.export and torch.compile with dynamic sizes, TorchScript, files."""

import io

import pytest
import torch

import qnative  # noqa: F401
from support.strategies import generator, integers

OPS = torch.ops.qnative
G = generator(0)
Q = (0.1, 7)
U8 = torch.uint8


class Network(torch.nn.Module):
    """Every op once; shapes depend on the batch and on the image size."""

    def __init__(self):
        super().__init__()
        self.register_buffer("conv", OPS.conv2d_pack(integers((8, 3, 3, 3), torch.int8, G), 1))
        self.register_buffer("depthwise", OPS.conv2d_pack(integers((8, 1, 3, 3), torch.int8, G), 8))
        self.register_buffer("fc", OPS.linear_pack(integers((5, 16), torch.int8, G)))
        self.register_buffer("scale", torch.rand(8, generator=G) / 100 + 1e-3)
        self.register_buffer("table", integers((256,), U8, G))
        self.register_buffer("zero", torch.zeros(8, dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = torch.ops.qnative
        scale = self.scale
        y = q.quantize_per_tensor(x, 0.05, 128, torch.uint8)
        y = q.conv2d(
            y, 0.05, 128, self.conv, scale, scale, [8, 3, 3, 3], [2], [1], [1], 1,
            0.1, 7, torch.uint8, "relu",
        )  # fmt: skip
        z = q.conv2d(
            y, 0.1, 7, self.depthwise, scale, None, [8, 1, 3, 3], [1], "same", [1], 8,
            0.1, 7, torch.uint8,
        )  # fmt: skip
        y = q.add(y, 0.1, 7, q.lookup(z, self.table), 0.1, 7, 0.1, 7, torch.uint8, alpha=2.0)
        y = q.max_pool2d(y, [3], [2], [1])
        y = q.avg_pool2d(y, 0.1, 7, [2], [1], [0], False, True, None, 0.1, 7, torch.uint8)
        gate = q.adaptive_avg_pool2d(y, 0.1, 7, [1], 0.1, 7, torch.uint8)
        y = q.mul(y, 0.1, 7, gate, 0.1, 7, 0.1, 7, torch.uint8)
        y = q.mean(y, 0.1, 7, [2, 3], False, 0.1, 7, torch.uint8)
        real = q.dequantize_per_channel(y, scale, self.zero, 1)
        again = q.quantize_per_channel(real, scale, self.zero, 1, torch.int8)
        both = q.cat([y, again], [0.1, 0.2], [7, 8], 1, 0.1, 7, torch.uint8)
        return q.linear(
            both, 0.1, 7, self.fc, scale[:5], None, [5, 16], 0.1, 7, torch.float32, "relu6"
        )


def image(batch, height=21, width=18):
    x = torch.randn(batch, 3, height, width, generator=generator(batch))
    return x.to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def network():
    return Network().eval()


def through_file(save, load):
    file = io.BytesIO()
    save(file)
    file.seek(0)
    return load(file)


def test_export_with_dynamic_sizes(network):
    auto = torch.export.Dim.AUTO
    program = torch.export.export(
        network, (image(4),), dynamic_shapes=({0: auto, 2: auto, 3: auto},)
    )
    program = through_file(lambda f: torch.export.save(program, f), torch.export.load)
    for x in (image(4), image(7, 33, 26)):
        assert torch.equal(program.module()(x), network(x))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compile_with_dynamic_sizes(network, backend):
    compiled = torch.compile(network, backend=backend, dynamic=True, fullgraph=True)
    for x in (image(4), image(7, 33, 26)):
        assert torch.equal(compiled(x), network(x))


@pytest.mark.parametrize("compiler", [torch.jit.script, lambda m: torch.jit.trace(m, image(2))])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(network, compiler):
    scripted = torch.jit.freeze(compiler(network))
    scripted = through_file(lambda f: torch.jit.save(scripted, f), torch.jit.load)
    for x in (image(2), image(5, 33, 26)):
        assert torch.equal(scripted(x), network(x))


class Attention(torch.nn.Module):
    """Batch and length are open; heads are grouped."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q = torch.ops.qnative
        heads = x.unflatten(-1, [8, 16]).transpose(1, 2)
        queries, keys, values = heads[:, :4], heads[:, 4:6], heads[:, 6:]
        y = q.attention_dynamic(queries, keys, values, mask, enable_gqa=True)
        y8 = q.quantize_per_tensor(y, 0.02, 128, torch.uint8)
        z = q.attention(
            y8, 0.02, 128, y8, 0.02, 128, y8, 0.02, 128,
            0.02, 120, torch.int8, None, True, scale=0.3,
        )  # fmt: skip
        return y + q.dequantize_per_tensor(z, 0.02, 120)


def tokens(batch, length):
    g = generator(length)
    mask = torch.rand(batch, 1, 1, length, generator=g) > 0.2
    return torch.randn(batch, length, 128, generator=g), mask


def test_attention_of_any_length():
    auto, network = torch.export.Dim.AUTO, Attention().eval()
    shapes = ({0: auto, 1: auto}, {0: auto, 3: auto})
    program = torch.export.export(network, tokens(3, 11), dynamic_shapes=shapes).module()
    scripted = torch.jit.script(network)
    compiled = torch.compile(network, backend="inductor", dynamic=True, fullgraph=True)
    for inputs in (tokens(3, 11), tokens(2, 70)):
        want = network(*inputs)
        for form in (program, scripted, compiled):
            assert torch.equal(form(*inputs), want)


def test_float_outputs_require_no_grad(network):
    x = image(2).requires_grad_()
    assert not network(x).requires_grad
    scale = torch.ones(3, requires_grad=True)
    bias = torch.ones(3, requires_grad=True)
    packed = OPS.linear_pack(integers((3, 4), torch.int8, G))
    y = OPS.linear(integers((2, 4), U8, G), *Q, packed, scale, bias, [3, 4], 1.0, 0, torch.float32)
    assert y.shape == (2, 3)
