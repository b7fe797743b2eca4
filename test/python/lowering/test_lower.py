"""qnative.lower against the converted graph it starts from: dequantize -> aten -> quantize."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

import qnative
from support.nets import NETS, Tied, build, convert, kernels_of, ops_of

IMAGE_NETS = [name for name, (_, shape, _) in NETS.items() if len(shape) == 4]


class Reference(torch.fx.Interpreter):
    """Runs the converted graph. scale: of its output, None for float. exact: the output in codes,
    before rounding."""

    scale, exact = None, None

    def run_node(self, node):
        result = super().run_node(node)
        if "dequantize" in str(node.target):
            quantize = node.args[0]
            self.scale = node.args[1]
            if quantize.op == "call_function":
                self.exact = self.env[quantize.args[0]] / self.scale
        elif node.op == "call_function":
            self.scale = self.exact = None
        return result


def assert_close(got, want, scale=None, exact=None):
    assert got.shape == want.shape and got.dtype == want.dtype == torch.float32
    if scale is None:
        # A tie of an inner activation (see below) changes a float output slightly.
        error = (got - want).square().mean().sqrt() / want.square().mean().sqrt()
        assert error < 2e-3, f"relative error {error}"
        return
    differ = ((got - want) / scale).round().abs()
    assert differ.max() <= 1
    # Ties: the float graph rounds sums of dequantized products, qnative scales an exact int32 sum
    # once, so that a value half-way between two codes may round differently. Averages are often
    # half-way; elsewhere an inner activation was.
    half_way = (exact - exact.floor() - 0.5).abs() < 1e-3
    assert ((differ != 0) & ~half_way).float().mean() <= 0.005


def check(model, inputs, want_kernels=None):
    converted = convert(model, inputs)
    before = copy.deepcopy(converted.state_dict())
    lowered = qnative.lower(converted)
    reference = Reference(converted, garbage_collect_values=False)
    for batch in (4, 1, 7, 0):
        x = inputs(batch)
        with torch.no_grad():
            got, want = lowered(x), reference.run(x)
        if batch:
            assert_close(got, want, reference.scale, reference.exact)
        else:
            assert got.numel() == 0 or got.dim() == 0
    names = ops_of(lowered)
    assert not any(name.startswith("quantized_decomposed") for name in names), names
    assert not lowered.report.float_rows, str(lowered.report)
    if want_kernels is not None:
        assert kernels_of(lowered) == want_kernels
    # Lowering does not change its argument.
    assert all(torch.equal(value, before[key]) for key, value in converted.state_dict().items())
    return lowered


@pytest.mark.parametrize("name", NETS)
def test_net_equals_its_reference(name):
    model, inputs = build(name)
    lowered = check(model, inputs, NETS[name][2])
    # Packed weights are int8; only scales and biases are float32.
    for key, value in lowered.state_dict().items():
        assert value.dtype in (torch.int8, torch.uint8) or value.dim() == 1, key
        assert not value.requires_grad
    assert not list(lowered.parameters())


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_quantized_output_equals_its_reference(name):
    """With 8-bit outputs: the pool makes the op before it end in uint8."""
    model, inputs = build(name)
    if name in ("max_pool", "avg_pool", "adaptive_avg_pool", "functional"):
        pytest.skip("ends in a matrix")
    want = [*NETS[name][2], "max_pool2d"]
    lowered = check(nn.Sequential(model, nn.MaxPool2d(1)), inputs, want)
    assert ops_of(lowered)[0] == "qnative.quantize_per_tensor"
    assert ops_of(lowered)[-1] == "qnative.dequantize_per_tensor"


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.flatten(1).reshape(-1, 12).view(-1, 3, 4),
        lambda x: x.permute(0, 2, 3, 1).transpose(1, 2).contiguous(),
        lambda x: x.unsqueeze(1).squeeze(1).squeeze(),
        lambda x: F.pixel_shuffle(x, 2),
        lambda x: F.pixel_unshuffle(x, 2),
        lambda x: x.narrow(2, 1, 2).repeat(1, 2, 1, 1).repeat_interleave(2, dim=3),
        lambda x: F.dropout(x.detach(), training=False),
        lambda x: x.chunk(2, 1)[1],
        lambda x: x.split(3, 2)[0],
        lambda x: x.split([1, 2, 3], 3)[2],
        lambda x: x.unbind(1)[2],
        lambda x: x.tensor_split(3, 1)[1],
        lambda x: x[:, 1:3, ::2][..., 0],
        lambda x: x.clone().unsqueeze(1).expand(-1, 2, -1, -1, -1),
        lambda x: x.unsqueeze(0).unsqueeze(2).squeeze((0, 2)).squeeze(0),
        lambda x: x.movedim(1, 2).swapaxes(2, 3).mT.flip(1).roll(1, 1).unflatten(1, (2, 3)),
        lambda x: x.contiguous().unsqueeze_(1).squeeze_(1).detach_(),
    ],
)
def test_moves_run_on_8_bit_data(make):
    class Moves(nn.Module):
        def forward(self, x):
            return F.hardtanh(make(F.hardtanh(x, -1.5, 1.5)), -1.25, 1.5)

    torch.manual_seed(0)
    lowered = check(Moves(), lambda batch=4: torch.randn(batch, 4, 6, 6), ["lookup", "lookup"])
    names = ops_of(lowered)
    assert names[0] == "qnative.quantize_per_tensor" and names.count(names[0]) == 1
    assert names[-1] == "qnative.dequantize_per_tensor" and names.count(names[-1]) == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x + y,
        lambda x, y: x * y[:, :1],
        lambda x, y: torch.add(x, y, alpha=-0.5),
        lambda x, y: F.relu6(x + x),
        lambda x, y: torch.clamp(x * y, max=0.5),
        lambda x, y: torch.clamp(x + y, min=-0.25),
        lambda x, y: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        lambda x, y: F.avg_pool2d(x, 2, divisor_override=3),
        lambda x, y: F.adaptive_avg_pool2d(x, (3, 2)),
        lambda x, y: F.max_pool2d(x, (3, 2), 2, (1, 0), dilation=2, ceil_mode=True),
        lambda x, y: x.mean((-1, 1), keepdim=True),
        lambda x, y: x.mean(),
        lambda x, y: torch.cat([x, y, x], -1) * 0.7,
        lambda x, y: x * 0.37 + 1.5,
        lambda x, y: torch.stack([x, y, x], 1) * 0.7,
        lambda x, y: x // 0.3,
        lambda x, y: torch.cat([*x.chunk(2, 1), *y.unbind(1)[0].unsqueeze(1).split(1, 1)], 1) * 2,
        lambda x, y: F.max_pool1d(x.flatten(2), 3, 2, 1, ceil_mode=True),
        lambda x, y: F.avg_pool1d(x.flatten(2), 3, 2, 1),
        lambda x, y: F.adaptive_avg_pool1d(x.flatten(2), 7),
        lambda x, y: F.max_pool3d(x.unsqueeze(1), 2, (1, 2, 1), 1),
        lambda x, y: F.avg_pool3d(x.unsqueeze(1), (2, 3, 2), 2, (1, 0, 1), divisor_override=5),
        lambda x, y: F.adaptive_avg_pool3d(x.unsqueeze(1), (2, 3, 4)),
        lambda x, y: F.interpolate(x, scale_factor=2, mode="nearest"),
        lambda x, y: F.interpolate(x, scale_factor=(1.5, 0.7), mode="nearest-exact"),
        lambda x, y: F.interpolate(x, size=(5, 23), mode="bilinear"),
        lambda x, y: F.interpolate(x, scale_factor=1.7, mode="bilinear", align_corners=True),
        lambda x, y: F.interpolate(x, scale_factor=1.7, mode="bicubic"),
        lambda x, y: F.interpolate(x.flatten(2), 31, mode="linear"),
        lambda x, y: F.interpolate(x.unsqueeze(1), scale_factor=2, mode="trilinear"),
        lambda x, y: torch.sigmoid_(F.relu_(F.hardtanh_(torch.tanh_(x + y)))),
        lambda x, y: torch.mean(x, (1, 2), dtype=torch.float32),
    ],
)
def test_arguments_of_ops(function):
    class Op(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return function(F.hardtanh(self.a(x), -1.5, 1.5), F.hardtanh(self.b(x), -1.0, 2.0))

    torch.manual_seed(0)
    check(Op(), lambda batch=4: torch.randn(batch, 3, 9, 11))


def test_constants_are_quantized_too():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.gamma = nn.Parameter(torch.rand(1, 3, 1, 1) + 0.5)
            self.beta = nn.Parameter(torch.randn(3, 1, 1))

        def forward(self, x):
            return x * self.gamma + self.beta

    torch.manual_seed(0)
    check(Scale(), lambda batch=4: torch.randn(batch, 3, 5, 5), ["mul", "add"])


def test_two_layers_with_one_weight_pack_it_once():
    torch.manual_seed(0)
    lowered = check(Tied(), lambda batch=4: torch.randn(batch, 6), ["linear", "linear"])
    assert sum(value.dtype is torch.int8 for value in lowered.state_dict().values()) == 1


def test_output_used_twice():
    class Twice(nn.Module):
        """The conv's output goes through relu and into the sum: the relu cannot be fused."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            x = self.conv(x)
            return x + F.relu(x)

    torch.manual_seed(0)
    lowered = check(
        Twice(), lambda batch=4: torch.randn(batch, 3, 5, 5), ["conv2d", "lookup", "add"]
    )
    (row,) = (row for row in lowered.report.rows if row.op == "aten.conv2d")
    assert "relu is not fused: conv2d is used by add too" in row.reason


def test_in_place_writes_are_seen_by_later_readers():
    class InPlace(nn.Module):
        def forward(self, x):
            y = x * 1.0
            z = F.relu_(y)
            return y + z

    lowered = check(InPlace(), lambda batch=4: torch.randn(batch, 3))
    x = torch.tensor([[-1.0, 1.0, -0.5]])
    assert torch.allclose(lowered(x), 2 * F.relu(x), atol=0.05)


def test_different_scales_at_one_edge_become_a_lookup():
    """For example from a custom quantizer that does not share observers."""
    model = nn.Sequential(nn.Hardtanh(-2, 2))
    converted = convert(model, lambda: torch.randn(4, 6))
    graph = converted.graph
    (first, *_) = (n for n in graph.nodes if "dequantize" in str(n.target))
    quantize = first.args[0]
    with graph.inserting_after(first):
        again = graph.call_function(quantize.target, (first, 0.25, 3, 0, 200, torch.uint8))
    with graph.inserting_after(again):
        back = graph.call_function(first.target, (again, 0.25, 3, 0, 200, torch.uint8))
    first.replace_all_uses_with(back, delete_user_cb=lambda user: user is not again)
    converted.recompile()
    lowered = qnative.lower(converted)
    assert kernels_of(lowered) == ["lookup", "lookup"]
    x = torch.linspace(-70, 70, 600).view(-1, 6)
    assert torch.equal(lowered(x), converted(x))


def test_reference_with_unfolded_weights():
    """FX's decomposed reference and fold_quantize=False keep float weights with a quantize node."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    torch.manual_seed(0)
    model, x = nn.Conv2d(3, 4, 3), torch.randn(4, 3, 8, 8)
    exported = torch.export.export(model, (x,)).module()
    prepared = prepare_pt2e(exported, qnative.Quantizer())
    prepared(x)
    converted = convert_pt2e(prepared, fold_quantize=False)
    lowered = qnative.lower(converted)
    assert kernels_of(lowered) == ["conv2d"]
    assert_close(lowered(x), converted(x).detach())
    assert not list(lowered.parameters())


def test_float_nodes_stay_and_their_weights_too():
    class Distances(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.points = nn.Linear(6, 6), nn.Parameter(torch.randn(6, 6))

        def forward(self, x):
            return self.fc(torch.cumsum(torch.cdist(self.fc(x), self.points), 1))

    torch.manual_seed(0)
    converted = convert(Distances().eval(), lambda: torch.randn(4, 6))
    lowered = qnative.lower(converted)
    x = torch.randn(3, 6)
    assert_close(lowered(x), converted(x).detach(), None)
    assert [row.op for row in lowered.report.float_rows] == [
        "aten.cdist",
        "aten.cumsum",
    ]
    assert len(list(lowered.parameters())) == 1
    with pytest.raises(qnative.NotQuantizedError, match="cumsum"):
        qnative.lower(converted, strict=True)


def test_view_of_channels_last_data():
    """qnative's images are channels_last, for which some views do not exist."""

    class View(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return F.gelu(F.relu(self.conv(x)).view(x.shape[0], -1))

    torch.manual_seed(0)
    lowered = qnative.lower(convert(View(), lambda: torch.randn(4, 3, 5, 6)))
    assert lowered(torch.randn(2, 3, 5, 6)).shape == (2, 120)


def test_a_float_model_is_rejected():
    model, x = nn.Linear(3, 3), torch.randn(2, 3)
    with pytest.raises(TypeError, match="got Linear"):
        qnative.lower(model)
    exported = torch.export.export(model, (x,)).module()
    with pytest.raises(ValueError, match=r"float model without quantize nodes.*convert_pt2e"):
        qnative.lower(exported)
    prepared = prepare_pt2e(exported, qnative.Quantizer())
    with pytest.raises(ValueError, match=r"has observers.*call convert_pt2e first"):
        qnative.lower(prepared)
    lowered = qnative.lower(convert(model, lambda: torch.randn(4, 3)))
    with pytest.raises(ValueError, match="lowered already"):
        qnative.lower(lowered)


def test_an_op_that_qnative_lacks_is_an_error():
    converted = convert(nn.Linear(3, 3), lambda: torch.randn(4, 3))
    (node,) = (n for n in converted.graph.nodes if n.op == "placeholder")
    with converted.graph.inserting_after(node):
        choose = torch.ops.quantized_decomposed.choose_qparams.tensor
        dead = converted.graph.call_function(choose, (node, 0, 255, 1e-6, torch.uint8))
    (output,) = (n for n in converted.graph.nodes if n.op == "output")
    output.args = ((output.args[0][0], dead),)
    with pytest.raises(ValueError, match=r"no qnative op for quantized_decomposed\.choose_qparams"):
        qnative.lower(converted)


class Views(nn.Module):
    """Computes with the sizes of its input in ways that leave some of them open."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 1), nn.Linear(8, 5)

    def forward(self, x):
        batch, _, height, _ = x.shape
        y = F.relu(self.conv(x))
        z = self.fc(F.adaptive_avg_pool2d(y, 1).view(batch, -1))
        y = y.reshape(batch, 2, 4, -1).transpose(1, 2).reshape(batch * 2, -1)
        return z, y.unsqueeze(0).expand(height, batch * 2, -1), y.narrow(0, 0, batch)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_traced_module_takes_other_sizes():
    torch.manual_seed(0)
    example = torch.randn(2, 3, 6, 4)
    auto = torch.export.Dim.AUTO
    shapes = ({0: auto, 2: auto, 3: auto},)
    quantized = qnative.quantize(Views(), (example,), [example], dynamic_shapes=shapes)
    traced = torch.jit.trace(quantized, example[:1])
    for x in (example, torch.randn(5, 3, 9, 7)):
        got, want = traced(x), quantized(x)
        assert all(map(torch.equal, got, want)) and want[0].shape == (len(x), 5)
    program = torch.export.export(quantized, (example,), dynamic_shapes=shapes)
    x = torch.randn(3, 3, 5, 8)
    assert all(map(torch.equal, program.module()(x), quantized(x)))


def test_dropout_leaves_nothing_behind():
    class Dropout(nn.Module):
        def forward(self, x):
            return F.dropout(F.hardtanh(x), 0.3, self.training)

    lowered = qnative.lower(convert(Dropout().eval(), lambda: torch.randn(4, 6)))
    assert "aten.dropout" not in ops_of(lowered)
