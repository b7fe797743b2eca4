"""The report says how far each output, and each part of one, is from that of the float model."""

import json
import math

import pytest
import torch
from torch import nn

import qnative
from qnative.calibration.measure import Measure
from qnative.report import Output, Report
from support.checks import sqnr


class Two(nn.Module):
    """A dict with a joined output, a tuple and integers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(8, 4), nn.Linear(8, 6)

    def forward(self, x):
        a, b = self.a(x), self.b(x)
        joined = torch.cat([a * 100, b.sigmoid()], 1)
        return {"joined": joined, "more": (b, b.argmax(1))}


def batches(count=6):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(32, 8, generator=generator) for _ in range(count)]


@pytest.fixture(scope="module")
def result():
    return qnative.quantize(Two().eval(), (batches()[0],), batches(), evaluation=batches()[4:])


def test_each_output_and_part_is_measured(result):
    joined, b, label = result.report.outputs
    assert [each.name for each in (joined, b, label)] == [
        "output['joined']",
        "output['more'][0]",
        "output['more'][1]",
    ]
    with torch.no_grad():
        got, want = ([model(x) for x in batches()[4:]] for model in (result, Two().eval()))
    whole, wanted = (torch.cat([y["joined"] for y in ys]) for ys in (got, want))
    assert joined.sqnr == pytest.approx(sqnr(whole, wanted))
    assert joined.parts == {
        "[0:4] in dimension 1": pytest.approx(sqnr(whole[:, :4], wanted[:, :4])),
        "[4:10] in dimension 1": pytest.approx(sqnr(whole[:, 4:], wanted[:, 4:])),
    }
    same = torch.cat([g["more"][1] == w["more"][1] for g, w in zip(got, want, strict=True)])
    assert label.agreement == pytest.approx(float(same.float().mean())) and label.sqnr is None
    assert b.parts == {} and b.sqnr > 30


def test_the_report_shows_it(result):
    text = str(result.report)
    assert f"output['joined'] {result.report.outputs[0].sqnr:.1f} dB ([0:4] in dimension 1" in text
    assert "output['more'][1] " in text and "% equal" in text
    assert text.splitlines()[-1] in result.report.to_html()
    data = json.loads(result.report.to_json())
    assert [each["name"] for each in data["outputs"]] == [o.name for o in result.report.outputs]
    assert Report.from_json(result.report.to_json()) == result.report


def test_a_part_below_the_bound_is_a_note():
    poor = Output("output", 36.0, {"[0:4] in dimension 1": 36.1, "[4:84] in dimension 1": 0.3})
    assert poor.poor == ["output[4:84] in dimension 1: 0.3 dB"]

    class Steep(nn.Module):
        """8 bits are not enough for a small difference, and no other mode has a convolution."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2, 1, 1, bias=False)
            with torch.no_grad():
                self.conv.weight.copy_(torch.tensor([[[1.0], [-1.0]]]))

        def forward(self, x):
            return self.conv(x)

    torch.manual_seed(0)
    x = torch.randn(8, 1, 64)
    x = torch.cat([x, x + 0.005 * torch.randn(8, 1, 64)], 1)
    notes = qnative.quantize(Steep(), (x,), [x]).report.notes
    assert any(note.startswith("low signal to quantization noise: output: ") for note in notes)


def test_what_it_measures_on_without_evaluation():
    x = batches()[0]
    static = qnative.quantize(Two().eval(), (x,), iter(batches()))
    dynamic = qnative.quantize(Two().eval(), (x,), recipe="dynamic")
    assert all(report.outputs[0].sqnr > 30 for report in (static.report, dynamic.report))


def test_few_batches_are_kept_and_copied():
    measure = Measure(torch.fx.symbolic_trace(nn.Identity()).graph)
    buffer = torch.empty(4)
    for i in range(9):
        buffer.fill_(i + 1)
        measure.sample((buffer,), {}, buffer)
    seen = []
    (output,) = measure.compare(lambda x: seen.append(float(x[0])) or x)
    assert seen == [1, 2, 3, 4] and output.sqnr == math.inf


def test_infinite_and_empty_outputs():
    measure = Measure(torch.fx.symbolic_trace(nn.Identity()).graph)
    x = torch.tensor([1.0, -math.inf])
    measure.keep((x,), {}, x)
    measure.keep((x[:0],), {}, x[:0])
    (output,) = measure.compare(lambda x: x * 1.1)
    assert output.sqnr == pytest.approx(20, abs=0.1)
