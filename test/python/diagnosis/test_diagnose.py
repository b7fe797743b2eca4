"""Faults that were planted are the first that is found, with the right cause."""

import json

import pytest
import torch
from torch import nn

import qnative
from qnative.diagnosis import causes
from qnative.diagnosis.times import Times, islands
from support import faults
from support.browser import evaluate


class Images(nn.Module):
    """A few convolutions."""

    shape = (3, 16, 16)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.norm, self.fc = nn.BatchNorm2d(12), nn.Linear(12 * 16, 5)

    def forward(self, x):
        x = nn.functional.hardswish(self.b(torch.relu(self.norm(self.a(x)))))
        return self.fc(nn.functional.avg_pool2d(x, 4).flatten(1))


class Residual(nn.Module):
    """Two branches, a sum, a cat."""

    shape = (4, 12, 12)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.c, self.d = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(16, 6, 1)

    def forward(self, x):
        x = self.a(x)
        y = torch.relu(self.b(x)) + self.c(x)
        return self.d(torch.cat([y, x], 1))


class Tokens(nn.Module):
    """A block of a transformer."""

    shape = (10, 16)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(16, 48), nn.Linear(16, 16)
        self.norm, self.c, self.d = nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        q, k, v = self.a(x).chunk(3, -1)
        x = x + self.b(nn.functional.scaled_dot_product_attention(q, k, v))
        return self.d(torch.relu(self.c(self.norm(x)))) + x


# Rows of a layer whose output stays in 8 bits, and of one with many inputs.
LAYERS = {Images: ("conv2d", "conv2d_1"), Residual: ("conv2d_1", "conv2d_2"),
          Tokens: ("linear_2", "linear_2")}  # fmt: skip


def data(shape, count=4):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, *shape, generator=generator) for _ in range(count)]


@pytest.fixture(scope="module", params=LAYERS, ids=lambda net: net.__name__)
def case(request):
    torch.manual_seed(0)
    model = request.param().eval()
    batches = data(model.shape)
    return model, qnative.quantize(model, (batches[0],), batches), batches, LAYERS[request.param]


def diagnose(model, quantized, batches):
    return qnative.diagnose(model, quantized, batches, tries=0, times=False)


def first(model, quantized, batches):
    finding = diagnose(model, quantized, batches).findings[0]
    return finding.row, finding.cause


def test_clipped_range(case):
    model, quantized, batches, (row, _) = case
    fault = faults.rescaled(quantized, row, lambda scale: scale / 8)
    assert first(model, fault, batches) == (row, causes.CLIPPED)


def test_range_too_wide(case):
    model, quantized, batches, (row, _) = case
    fault = faults.rescaled(quantized, row, lambda scale: scale * 20)
    assert first(model, fault, batches) == (row, causes.WIDE)


def test_uncalibrated(case):
    model, quantized, batches, (row, _) = case
    fault = faults.rescaled(quantized, row, lambda scale: 1.0, zero_point=0)
    assert first(model, fault, batches) == (row, causes.UNCALIBRATED)


def test_wrong_scale(case):
    model, quantized, batches, (row, _) = case
    fault, reader = faults.misread(quantized, row, 2.5)
    assert first(model, fault, batches) == (reader, causes.WRONG_SCALE)


def test_killed_channel(case):
    model, quantized, batches, (row, _) = case
    fault = faults.without_channel(quantized, row, 3)
    diagnosis = diagnose(model, fault, batches)
    finding = diagnosis.findings[0]
    assert (finding.row, finding.cause) == (row, causes.DEAD)
    assert finding.detail == "nothing is left of channel 3"


def test_weight_step(case):
    model, quantized, batches, (_, row) = case
    fault = faults.with_coarse_weights(quantized, row)
    assert first(model, fault, batches) == (row, causes.WEIGHTS)


def test_nothing_planted(case):
    model, quantized, batches, _ = case
    diagnosis = diagnose(model, quantized, batches)
    found = {finding.cause for finding in diagnosis.findings}
    assert found.isdisjoint({causes.CLIPPED, causes.UNCALIBRATED, causes.WRONG_SCALE, causes.DEAD})
    assert min(finding.output for finding in diagnosis.findings) > 25
    assert diagnosis.outputs[0].sqnr > 25
    assert diagnosis.outputs[0].sqnr == pytest.approx(diagnosis.nodes[-1].total, abs=1e-3)
    assert sum(node.share for node in diagnosis.nodes) == pytest.approx(1)


def test_constant_in_calibration(case):
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = case[0]

        def forward(self, x, gain):
            return self.net(x * gain)

    batches = case[2]
    ones = torch.ones(4, *[1] * (batches[0].dim() - 1))
    quantized = qnative.quantize(
        Gated(), (batches[0], ones), [(x, ones) for x in batches], float_nodes=[]
    )
    varied = [(x, ones * (i + 1)) for i, x in enumerate(batches)]
    varied = [(x, gain + torch.rand_like(gain)) for x, gain in varied]
    finding = diagnose(Gated(), quantized, varied[1:]).findings[0]
    assert (finding.row, finding.cause) == ("gain", causes.CONSTANT)
    low = "-1" if isinstance(case[0], Tokens) else "0"  # what feeds a sum before a norm is int16
    assert finding.detail.startswith(f"it was always 1; its codes reach from {low} to 1")


class Mixed(nn.Module):
    """A cat of values of unlike size."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        y = self.net(x)
        small, large = torch.cat([y, y.flip(1) * 300], 1).chunk(2, 1)
        return small + large * (1 / 300)


def test_mixed_ranges_in_a_cat(case):
    model, _, batches, _ = case
    model = Mixed(model).eval()
    # The sums of Tokens are int16: the cat makes bytes of them.
    writer = {Images: "linear", Residual: "conv2d_3", Tokens: "cat"}[type(model.net)]
    assert first(model, faults.unguarded(model, batches), batches) == (writer, causes.MIXED)


def layers(net):
    """Two layers that fit the output of a network, the first with 12 outputs."""
    torch.manual_seed(2)
    if isinstance(net, Residual):
        return nn.Conv2d(6, 12, 1), nn.Conv2d(12, 4, 1)
    inputs = 5 if isinstance(net, Images) else 16
    return nn.Linear(inputs, 12), nn.Linear(12, 4)


def test_one_outlier_channel(case):
    model, _, batches, _ = case
    a, b = layers(model)
    with torch.no_grad():
        a.weight[4] *= 300
        b.weight[:, 4] /= 300
    model = nn.Sequential(model, a, b).eval()
    quantized = faults.unguarded(model, batches)
    (row,) = [row.name for row in quantized.report.rows if row.module == "1"]
    finding = diagnose(model, quantized, batches).findings[0]
    assert (finding.row, finding.cause) == (row, causes.OUTLIER)
    assert finding.detail.startswith("channel 4 has values up to")


def test_saturated_activation(case):
    model, _, batches, _ = case
    a, b = layers(model)
    with torch.no_grad():
        a.bias[::2] = 300  # the ends of a sigmoid, which make the steps of the others coarse
    model = nn.Sequential(model, a, nn.Sigmoid(), b).eval()
    quantized = faults.unguarded(model, batches)
    (row,) = [row.name for row in quantized.report.rows if row.module == "1"]
    assert first(model, quantized, batches) == (row, causes.SATURATED)


def test_attention_spread_over_many_tokens():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 600), nn.Softmax(-1), nn.Linear(600, 4)).eval()
    batches = data((16,))
    assert first(model, faults.unguarded(model, batches), batches) == ("softmax", causes.SPREAD)


def test_float_island(case):
    """A region whose time is mostly that of its borders."""
    model, _, batches, (row, _) = case
    quantized = qnative.quantize(model, (batches[0],), batches, float_nodes=[row])
    rows = {each.name: each for each in quantized.report.rows}
    assert rows[row].verdict == "float" and rows[row].reason == "float_nodes names it"
    (source, *_) = rows[row].inputs
    times = Times({row: 20.0, "other": 50.0}, {source: 15.0, row: 10.0}, 100.0)
    island, *_ = islands(quantized.report, times)
    assert row in island.rows and island.borders == 25.0
    assert not islands(quantized.report, Times({row: 5.0}, {}, 100.0))


def test_the_fix_is_tried(case):
    """The range that was clipped is measured again, and the gain is that of the model it makes."""
    model, quantized, batches, (row, _) = case
    fault = faults.rescaled(quantized, row, lambda scale: scale / 8)
    diagnosis = qnative.diagnose(model, fault, batches, tries=1)
    finding = diagnosis.findings[0]
    assert finding.fix == "qnative.quantize(model, example_inputs, calibration=data)"
    again = qnative.quantize(model, (batches[0],), batches, evaluation=batches)
    gain = again.report.outputs[0].sqnr - diagnosis.outputs[0].sqnr
    assert finding.gain == pytest.approx(gain, abs=0.01) and gain > 5
    assert all(node.us > 0 for node in diagnosis.nodes if node.us is not None)
    assert any(node.us for node in diagnosis.nodes)
    assert finding.tried == f"{finding.gain:+.1f} dB" and finding.tried in str(diagnosis)


def test_a_node_left_float_is_tried():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 600), nn.Softmax(-1), nn.Linear(600, 4)).eval()
    batches = data((16,))
    quantized = qnative.quantize(model, (batches[0],), batches)
    fault = faults.with_coarse_weights(quantized, "linear")
    finding, *_ = qnative.diagnose(model, fault, batches, tries=1, times=False).findings
    assert finding.fix and finding.gain > 0 and not finding.error


def test_a_file_is_diagnosed_as_its_module(case, tmp_path):
    model, quantized, batches, (row, _) = case
    fault = faults.rescaled(quantized, row, lambda scale: scale / 8)
    qnative.save(fault, tmp_path / "model.pt2", (batches[0],))
    torch.export.save(torch.export.export(model, (batches[0],)), tmp_path / "float.pt2")
    here = diagnose(model, fault, batches)
    there = diagnose(tmp_path / "float.pt2", tmp_path / "model.pt2", batches)
    assert [f.row for f in there.findings] == [f.row for f in here.findings]
    assert there.findings[0].cause == causes.CLIPPED
    assert there.outputs[0].sqnr == pytest.approx(here.outputs[0].sqnr, abs=0.01)


def test_errors_of_operands_and_of_nodes(case):
    model, quantized, batches, (row, _) = case
    nodes = diagnose(model, quantized, batches).nodes
    (rounding, *_) = [node for node in nodes if node.is_rounding]
    assert rounding.inherited == float("inf") and rounding.here == pytest.approx(rounding.total)
    node = next(node for node in nodes if node.row == row)
    assert node.operands and all(o.received <= o.rounding + 0.5 for o in node.operands)
    assert node.total <= max(node.here, node.inherited) + 0.5


def test_on_the_page_and_as_json(case, tmp_path):
    model, quantized, batches, (row, _) = case
    fault = faults.rescaled(quantized, row, lambda scale: scale / 8)
    diagnosis = diagnose(model, fault, batches)
    page = diagnosis.report.to_html(diagnosis=diagnosis)
    code = """
    const texts = [...document.querySelectorAll("#nodes tr.node")].map((r) => r.textContent);
    const heads = [...document.querySelectorAll("#nodes thead th")].map((h) => h.textContent);
    const fills = [...document.querySelectorAll("#graph .box")].map((b) => b.dataset.error);
    return [document.body.innerText, heads, new Set(fills).size];"""
    text, heads, fills = evaluate(page, code, tmp_path)
    assert "What costs accuracy" in text and "clipped range" in text and "here dB" in heads
    assert fills > 2
    stored = json.loads(diagnosis.to_json())
    assert stored["findings"][0]["cause"] == "clipped range"
    assert len(stored["nodes"]) == len(diagnosis.nodes)


def test_bad_arguments(case, tmp_path):
    model, quantized, batches, _ = case
    with pytest.raises(ValueError, match="data is empty"):
        qnative.diagnose(model, quantized, [])
    with pytest.raises(TypeError, match="got a tensor"):
        qnative.diagnose(model, quantized, batches[0])
    with pytest.raises(TypeError, match="got Linear"):
        qnative.diagnose(model, nn.Linear(2, 2), batches)
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got int"):
        qnative.diagnose(3, quantized, batches)
    with pytest.raises(FileNotFoundError):
        qnative.diagnose(model, tmp_path / "none.pt2", batches)
    torch.export.save(torch.export.export(quantized, (batches[0],)), tmp_path / "bare.pt2")
    with pytest.raises(ValueError, match=r"bare.pt2 does not say .* qnative.save"):
        qnative.diagnose(model, tmp_path / "bare.pt2", batches)
