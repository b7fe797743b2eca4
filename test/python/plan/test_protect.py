"""``qnative.protect``: what quantize() measures, for those who call prepare_pt2e."""

import pytest
import torch
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

import qnative
from support.checks import sqnr


class Detector(nn.Module):
    """Boxes in pixels beside scores near 0, as in YOLO's last cat."""

    def __init__(self):
        super().__init__()
        self.body, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.boxes, self.scores = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 10, 1)

    def forward(self, x):
        x = torch.relu(self.norm(self.body(x)))
        boxes = (self.boxes(x).flatten(2) + 5) * 60
        scores = (self.scores(x) * 2 - 3).flatten(2).sigmoid()
        return torch.relu(torch.cat([boxes, scores], 1))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Detector().eval()


BATCHES = [torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(4)]


def pt2e(model, protected):
    exported = torch.export.export(model, (BATCHES[0],)).module()
    quantizer = qnative.Quantizer()
    reasons = qnative.protect(exported, quantizer, BATCHES) if protected else {}
    prepared = prepare_pt2e(exported, quantizer)
    for batch in BATCHES:
        prepared(batch)
    return qnative.lower(convert_pt2e(prepared)), reasons


def test_what_8_bits_would_ruin_stays_float(model):
    x = BATCHES[0]
    with torch.no_grad():
        scores = model(x)[:, 4:]
    plain, _ = pt2e(model, protected=False)
    result, reasons = pt2e(model, protected=True)
    assert sqnr(plain(x)[:, 4:], scores) < 10
    assert sqnr(result(x)[:, 4:], scores) > 25
    assert "cat" in reasons and "8 bits would leave" in reasons["cat"]
    (row,) = (row for row in result.report.rows if row.op == "aten.cat")
    assert row.verdict == "float" and row.reason == reasons["cat"]


def test_it_agrees_with_quantize(model):
    result, _ = pt2e(model, protected=True)
    options = {"weight_rounding": "nearest", "bias_correction": False}
    other = qnative.quantize(model, (BATCHES[0],), BATCHES, **options)
    verdicts = {row.name: row.verdict for row in result.report.rows}
    expected = {row.name: row.verdict for row in other.report.rows if row.name in verdicts}
    assert verdicts == expected


def test_nothing_to_protect():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU()).eval()
    _, reasons = pt2e(model, protected=True)
    assert reasons == {}


def test_forms_of_calibration_data(model):
    exported = torch.export.export(model, (BATCHES[0],)).module()
    for data in ([(BATCHES[0],)], [{"x": BATCHES[0]}]):
        assert "cat" in qnative.protect(exported, qnative.Quantizer(), data)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"exported": nn.Linear(2, 2)},
            TypeError,
            "exported must be the GraphModule .* got Linear",
        ),
        ({"quantizer": "native"}, TypeError, "quantizer must be a qnative.Quantizer, got str"),
        (
            {"quantizer": lambda: qnative.Quantizer(recipe="dynamic")},
            ValueError,
            "observes nothing",
        ),
        ({"quantizer": lambda: qnative.Quantizer(is_qat=True)}, ValueError, "is for training"),
        ({"calibration": BATCHES[0]}, TypeError, "calibration must be an iterable of inputs"),
        ({"calibration": []}, ValueError, "calibration is empty"),
        ({"calibration": [torch.full((2, 8, 8, 8), torch.nan)]}, ValueError, "must be finite"),
    ],
)
def test_errors(model, changes, error, message):
    exported = torch.export.export(model, (BATCHES[0],)).module()
    arguments = {"exported": exported, "quantizer": qnative.Quantizer(), "calibration": BATCHES}
    made = {name: value() if name == "quantizer" and callable(value) else value
            for name, value in changes.items()}  # fmt: skip
    with pytest.raises(error, match=message):
        qnative.protect(**(arguments | made))
