"""The guard: what calibration measured of each operand and part decides what must not share a
scale."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from support.checks import sqnr


def images(count=4, channels=8, size=8):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, channels, size, size, generator=generator) for _ in range(count)]


def quantized(model, batches, **options):
    torch.manual_seed(0)
    return qnative.quantize(model.eval(), (batches[0],), batches, **options)


def verdicts(result, op):
    return [row.verdict for row in result.report.rows if row.op.startswith(f"aten.{op}")]


def reason(result, op):
    (row,) = (row for row in result.report.rows if row.op.startswith(f"aten.{op}"))
    return row.reason


class Detector(nn.Module):
    """Boxes in pixels beside scores near 0, as in YOLO's last cat."""

    def __init__(self, after=lambda x: x):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.boxes, self.scores, self.after = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 10, 1), after

    def forward(self, x):
        x = F.relu(self.body(x))
        boxes = (self.boxes(x).flatten(2) + 5) * 60
        scores = (self.scores(x) * 2 - 3).flatten(2).sigmoid()
        return self.after(torch.cat([boxes, scores], 1))


class Tokens(nn.Module):
    """A small class token before large patches, and a residual stream, as in CLIP."""

    def __init__(self, width=32):
        super().__init__()
        torch.manual_seed(0)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(1, 5, width) * 0.02)
        self.patches = nn.Conv2d(8, width, 4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.linears = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        with torch.no_grad():
            self.patches.weight *= 20

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        x = x + self.linears[0](self.norms[0](x))
        return self.linears[1](self.norms[1](x))


class Maps(nn.Module):
    """Feature maps of different amplitude that a convolution mixes, as in a U-Net."""

    def __init__(self, share=0.03, reads_part=False):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.mix, self.own = nn.Conv2d(16, 4, 3), nn.Conv2d(8, 4, 3)
        self.share, self.reads_part = share, reads_part

    def forward(self, x):
        small, large = self.a(x) * self.share, self.b(x) * 10
        y = self.mix(torch.cat([small, large], 1))
        return (y, self.own(small)) if self.reads_part else y


def test_a_cat_that_ends_the_model_keeps_every_part():
    model, batches = Detector(), images()
    result = quantized(model, batches, strict=True)
    got, want = result(batches[1]), model(batches[1])
    assert sqnr(got[:, :4], want[:, :4]) > 30
    assert sqnr(got[:, 4:], want[:, 4:]) > 20
    assert verdicts(result, "cat") == ["free"]
    assert reason(result, "cat") == "nothing reads it in 8 bits"


def test_parts_that_go_different_ways_keep_their_scales():
    """One op reads the cat in 8 bits, and its parts are taken out again behind that."""
    model = Detector(lambda y: F.hardtanh(y, -1e3, 1e3)[:, 4:].mean(2))
    batches = images()
    result = quantized(model, batches)
    assert sqnr(result(batches[1]), model(batches[1])) > 25
    assert verdicts(result, "cat") == verdicts(result, "hardtanh") == ["float"]
    assert "cat[4:14] in dimension 1, with a scale of its own" in reason(result, "cat")


def test_operands_of_like_size_share_a_scale():
    class Like(Detector):
        def forward(self, x):
            x = F.relu(self.body(x))
            return self.after(torch.cat([self.boxes(x), self.scores(x)], 1))

    model, batches = Like(lambda y: F.hardtanh(y, -1e3, 1e3)[:, 4:]), images()
    result = quantized(model, batches, strict=True)
    assert verdicts(result, "cat") == ["quantized"]


def test_a_small_token_survives_from_the_cat_to_the_end():
    model, batches = Tokens(), images()
    result = quantized(model, batches)
    got, want = result(batches[1]), model(batches[1])
    assert sqnr(got[:, :1], want[:, :1]) > 30
    assert sqnr(got[:, 1:], want[:, 1:]) > 30
    # The layers with weights, which have the arithmetic, are quantized all the same.
    assert verdicts(result, "linear") == ["quantized"] * 2
    # A norm reads the cat, which int16 holds with both parts.
    assert verdicts(result, "cat") == ["quantized"]
    assert reason(result, "cat") == "its output is int16"


def test_parts_that_a_layer_mixes_share_a_scale():
    model, batches = Maps(), images()
    result = quantized(model, batches, strict=True)
    assert verdicts(result, "cat") == ["quantized"]
    assert sqnr(result(batches[1]), model(batches[1])) > 30


def test_an_operand_that_others_read_keeps_its_scale():
    model, batches = Maps(reads_part=True), images()
    result = quantized(model, batches, strict=True)
    (call,) = result.graph.find_nodes(op="call_function", target=torch.ops.qnative.cat.default)
    first, second = call.args[1]
    assert second > 20 * first
    for got, want in zip(result(batches[1]), model(batches[1]), strict=True):
        assert sqnr(got, want) > 30


def test_an_input_that_was_zero_in_calibration_has_an_effect():
    class Biased(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x, offset):
            return self.b(F.relu(self.a(x)) + offset)

    model, x = Biased().eval(), torch.randn(16, 8)
    zero = torch.zeros(16, 8)
    result = qnative.quantize(model, (x, zero), [(x, zero)])
    offset = torch.rand(16, 8, generator=torch.Generator().manual_seed(1)) * 0.4
    effect, wanted = result(x, offset) - result(x, zero), model(x, offset) - model(x, zero)
    assert sqnr(effect, wanted) > 12  # what is behind was calibrated without an offset
    assert reason(result, "add") == "offset is 0 in all of the calibration data"


def test_a_branch_with_weights_of_zero_is_quantized():
    """As residual networks begin their training."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
            nn.init.zeros_(self.b.weight)
            nn.init.zeros_(self.b.bias)

        def forward(self, x):
            x = self.a(x)
            return F.max_pool2d(F.relu(x + self.b(x)), 2)

    result = quantized(Residual(), images(), strict=True)
    assert verdicts(result, "conv2d") == ["quantized"] * 2


@pytest.mark.parametrize("function", [torch.sigmoid, lambda x: x.softmax(-1)])
def test_a_fixed_scale_that_leaves_nothing_is_not_used(function):
    """Attention spread over 200 tokens is about one step of 1/256; so are scores near 0."""

    class Spread(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(16, 200), nn.Linear(200, 4)

        def forward(self, x):
            return self.b(function(self.a(x) * 0.5 - 5.5))

    model = Spread().eval()
    batches = [torch.randn(64, 16, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    result = quantized(model, batches)
    (row,) = result.report.float_rows
    assert "with a scale of its own" in row.reason
    assert sqnr(result(batches[1]), model(batches[1])) > 30
