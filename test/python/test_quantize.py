"""qnative.quantize: one call from a float model to a lowered one, its errors and its report."""

import copy
import gc
import json
import pickle
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.report import VERDICTS, Report, Row
from support.checks import relative_error
from support.nets import kernels_of


class Net(nn.Module):
    """Has every verdict: quantized, fused, free and (cumsum) float."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x, scale=None):
        y = F.relu(self.norm(self.conv(x)))
        y = F.adaptive_avg_pool2d(y, 1).flatten(1)
        y = self.fc(y)
        return torch.cumsum(y if scale is None else y * scale, 1)


def images(count=4, batch=8):
    g = torch.Generator().manual_seed(0)
    return [torch.randn(batch, 3, 12, 12, generator=g) for _ in range(count)]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    model = Net().eval()
    nn.init.uniform_(model.norm.running_var, 0.5, 2.0)
    return model


@pytest.fixture(scope="module")
def quantized(net):
    return qnative.quantize(net, (images()[0],), images())


def test_result_is_close_and_the_model_is_as_before(net):
    before = copy.deepcopy(net.state_dict())
    net.train()
    quantized = qnative.quantize(net, (images()[0],), images())
    assert net.training
    net.eval()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert kernels_of(quantized) == ["conv2d", "adaptive_avg_pool2d", "linear"]
    for batch in (1, 3, 8):
        x = images(1, batch)[0]
        with torch.no_grad():
            assert relative_error(quantized(x), net(x)) < 0.03
    assert quantized(images(1, 8)[0][:0]).shape == (0, 5)


@pytest.mark.parametrize(
    "inputs",
    [
        lambda x: x,
        lambda x: (x,),
        lambda x: [x],
        lambda x: {"x": x},
    ],
    ids=["tensor", "tuple", "list", "dict"],
)
def test_forms_of_calibration_data(net, quantized, inputs):
    result = qnative.quantize(net, (images()[0],), (inputs(x) for x in images()))
    assert result.code == quantized.code


def test_report(quantized):
    report = quantized.report
    verdicts = {(row.op, row.module): row.verdict for row in report.rows}
    assert verdicts == {
        ("aten.conv2d", "conv"): "quantized",
        ("aten.batch_norm", "norm"): "fused",
        ("aten.relu", ""): "fused",
        ("aten.adaptive_avg_pool2d", ""): "quantized",
        ("aten.flatten.using_ints", ""): "free",
        ("aten.linear", "fc"): "quantized",
        ("aten.cumsum", ""): "float",
    }
    (cumsum,) = report.float_rows
    assert cumsum.reason == "the config 'qnative' has no row for aten.cumsum"
    assert [report.count(verdict) for verdict in VERDICTS] == [3, 2, 1, 1]
    with pytest.raises(ValueError, match="unknown verdict 'int8'; valid: quantized"):
        report.count("int8")
    conv = report.rows[0]
    # 216 weights; BatchNorm gives it a bias of 8. Packed: 16 channels of 3 rows of 12 bytes, sums.
    assert conv.float_bytes == 4 * (216 + 8)
    assert conv.packed_bytes == 16 * 3 * 12 + 16 * 4 + 8 * 4 + 8 * 4
    assert "batch size: dynamic" in report.notes


def test_report_as_text_json_and_html(quantized):
    report = quantized.report
    lines = str(report).splitlines()
    assert len(lines) == 2 + len(report.rows) + 1 + len(report.notes) + len(report.sizes)
    assert any(line.startswith("x, dimension 0, size 8: open") for line in lines)
    assert lines[2].split()[:4] == ["conv2d", "conv", "aten.conv2d", "quantized"]
    assert "3 quantized, 2 fused, 1 free, 1 float" in report.summary()
    data = json.loads(report.to_json())
    assert data["summary"] == {"quantized": 3, "fused": 2, "free": 1, "float": 1}
    assert Report.from_json(report.to_json()) == report
    page = Report([Row("<n>", "m", "op", "float", reason="a < b & c")], ["<note>"])
    page = page.to_html(title="<t>")
    assert "&lt;n&gt;" in page and "a &lt; b &amp; c" in page and "&lt;note&gt;" in page
    assert "<title>&lt;t&gt;</title>" in page and "<n>" not in page


def test_reports_of_others_do_nothing_to_a_page_or_a_terminal():
    """A report may come from a file: its names are text, whatever they say."""
    evil = '"><script>alert(1)</script>\x1b[2J'
    report = Report([Row(evil, evil, evil, evil, evil, evil)], [evil])
    page = report.to_html(title=evil)
    assert page.count("<script") == 1 and "alert" in page and "<script>alert" not in page
    text = str(Report([Row(evil, evil, evil, "float", evil, evil + "\nrow")], [evil]))
    assert "\x1b" not in text and "\\x1b[2J" in text
    assert len(text.splitlines()) == 5
    stored = json.dumps({"rows": [vars(report.rows[0])], "notes": []})
    with pytest.raises(ValueError, match="unknown verdict"):
        Report.from_json(stored)


def test_report_goes_with_copies(quantized):
    assert copy.deepcopy(quantized).report == quantized.report


def test_strict(net):
    with pytest.raises(qnative.NotQuantizedError, match=r"1 node\(s\) stay float") as error:
        qnative.quantize(net, (images()[0],), images(), strict=True)
    (row,) = error.value.rows
    assert row.op == "aten.cumsum" and "no row for aten.cumsum" in str(error.value)
    assert pickle.loads(pickle.dumps(error.value)).rows == error.value.rows
    model = nn.Sequential(nn.Linear(12, 3))
    assert qnative.quantize(model, (torch.randn(2, 12),), [torch.randn(9, 12)], strict=True)


def test_no_float_copy_of_a_weight_stays(quantized):
    assert not list(quantized.parameters())
    assert all(v.dtype is torch.int8 or v.dim() == 1 for v in quantized.state_dict().values())


def test_dynamic_shapes(net):
    fixed = qnative.quantize(net, (images()[0],), images(), dynamic_shapes=None)
    assert not fixed.report.notes
    auto = torch.export.Dim.AUTO
    shapes = {"x": {0: auto, 2: auto, 3: auto}, "scale": None}
    batches = [(x, None) for x in images()]
    free = qnative.quantize(net, batches[0], batches, dynamic_shapes=shapes)
    assert free(torch.randn(2, 3, 9, 17), None).shape == (2, 5)


def test_batch_that_must_be_fixed():
    class Fixed(nn.Module):
        def forward(self, x):
            return F.hardtanh(x + torch.ones(4, 6))

    result = qnative.quantize(Fixed(), (torch.randn(4, 6),), [torch.randn(4, 6)])
    (note,) = result.report.notes
    assert note.startswith("batch size: fixed, ")


def test_a_config_without_rows(net):
    config = qnative.backend_config.BackendConfig("empty")
    result = qnative.quantize(net, (images()[0],), images(), backend_config=config)
    assert not kernels_of(result)
    reasons = {row.reason for row in result.report.float_rows}
    assert "the config 'empty' has no row for aten.conv2d" in reasons


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"recipe": "int3"}, ValueError, "unknown recipe 'int3'; valid: static, dynamic"),
        ({"calibration": None}, ValueError, "recipe 'static' needs calibration data"),
        ({"calibration": []}, ValueError, "calibration is empty"),
        ({"calibration": [torch.randn(0, 3, 12, 12)]}, ValueError, r"no values \(empty batches"),
        ({"calibration": torch.randn(1, 3, 12, 12)}, TypeError, "must be an iterable of inputs"),
        ({"calibration": [torch.full((1, 3, 12, 12), torch.nan)]}, ValueError, "must be finite, x"),
        ({"example_inputs": torch.randn(1, 3, 12, 12)}, TypeError, "tuple .* got Tensor"),
        ({"weight_rounding": "up"}, ValueError, "weight_rounding must be .* got 'up'"),
        ({"backend_config": 3}, TypeError, "backend_config must be a BackendConfig, .* got int"),
    ],
)
def test_errors(net, changes, error, message):
    arguments = {"example_inputs": (images()[0],), "calibration": images()} | changes
    with pytest.raises(error, match=message):
        qnative.quantize(net, **arguments)


def test_a_model_that_export_rejects():
    class Branch(nn.Module):
        def forward(self, x):
            return x + 1 if x.sum() > 0 else x - 1

    with pytest.raises(RuntimeError, match=r"torch\.export rejects Branch: "):
        qnative.quantize(Branch(), (torch.randn(2, 3),), [torch.randn(2, 3)])


def test_verbose_shows_progress_and_the_summary(net, capsys):
    qnative.quantize(net, (images()[0],), images(), verbose=True)
    shown = capsys.readouterr()
    assert "qnative: 7 nodes: 3 quantized" in shown.out and "calibrating" in shown.err


@pytest.mark.parametrize("recipe", ["static", "dynamic"])
def test_no_model_stays_in_memory(net, recipe):
    """After a call, what lives is its result; torchao remembered every model that it saw."""

    def live_after_a_call():
        quantized = qnative.quantize(net, (images()[0],), images(), recipe=recipe)
        del quantized
        gc.collect()
        modules = (each for each in gc.get_objects() if issubclass(type(each), nn.Module))
        return Counter(type(each).__name__ for each in modules)

    live_after_a_call()
    assert live_after_a_call() == live_after_a_call()
