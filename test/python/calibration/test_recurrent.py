"""Weights of recurrent layers: rounded for their inputs, inputs of one magnitude, float16."""

import pytest
import torch
from torch import nn

import qnative
from qnative.calibration import recurrent
from support.checks import sqnr, through_trace

POWERS = 40


class Speaker(nn.Module):
    """A recurrent layer over a power spectrum: its weights are large where its inputs are tiny."""

    def __init__(self, kind, spread, **options):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = kind(POWERS, 32, **options)
        directions = 2 if options.get("bidirectional") else 1
        self.last = nn.Linear((options.get("proj_size") or 32) * directions, 8)
        rms = spectrum(0, spread).square().mean((0, 1)).sqrt()
        with torch.no_grad():
            self.rnn.weight_ih_l0 /= rms
            if directions == 2:
                self.rnn.weight_ih_l0_reverse /= rms

    def forward(self, x):
        return self.last(self.rnn(x)[0])


class Cells(nn.Module):
    def __init__(self, spread):
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(POWERS, 32)
        with torch.no_grad():
            self.cell.weight_ih /= spectrum(0, spread).square().mean((0, 1)).sqrt()

    def forward(self, x):
        return self.cell(x[:, 0])


def spectrum(seed, spread, batch=6, steps=30):
    """Powers of bands that differ by 10^spread: [batch, steps, POWERS]."""
    generator = torch.Generator().manual_seed(seed)
    powers = torch.logspace(0.5, 0.5 - spread, POWERS)
    return torch.randn(batch, steps, POWERS, generator=generator).square() * powers


def quantized(model, spread, **options):
    batches = [spectrum(i, spread) for i in range(3)]
    return qnative.quantize(model.eval(), (batches[0],), batches, **options)


def names(result):
    return {row.name for row in result.report.rows}


LAYERS = [
    (nn.LSTM, {"num_layers": 2}),
    (nn.LSTM, {"batch_first": True, "bidirectional": True}),
    (nn.LSTM, {"proj_size": 16, "bias": False}),
    (nn.GRU, {"batch_first": True, "num_layers": 2, "bidirectional": True}),
]


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_tiny_inputs_keep_their_weight(kind, options):
    model, x = Speaker(kind, 5.0, **options), spectrum(9, 5.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = quantized(model, 5.0)
    with torch.no_grad():
        assert sqnr(result(x), model(x)) > 30
        dynamic = qnative.quantize(model, (x,), recipe="dynamic")
        assert sqnr(dynamic(x), model(x)) < 20
    (row,) = (row for row in result.report.rows if row.name.endswith("_equalized"))
    assert row.verdict == "float" and "one size" in row.reason
    (layer,) = (row for row in result.report.rows if row.op.startswith(("aten.lstm", "aten.gru")))
    assert layer.verdict == "quantized" and layer.packed_bytes < layer.float_bytes / 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(through_trace(result, x)(x), result(x))


def test_cells_too():
    model, x = Cells(5.0), spectrum(9, 5.0)
    result = quantized(model, 5.0)
    with torch.no_grad():
        assert sqnr(result(x), model(x)) > 30
    assert "gru_cell_equalized" in names(result)


def test_inputs_of_one_size_are_left_alone():
    model, x = Speaker(nn.LSTM, 0.0), spectrum(9, 0.0)
    model.last = nn.Identity()
    nearest = quantized(model, 0.0, weight_rounding="nearest", bias_correction=False)
    calibrated = quantized(model, 0.0)
    assert not any(name.endswith("_equalized") for name in names(calibrated))
    assert not any("float16" in note for note in calibrated.report.notes)
    with torch.no_grad():
        assert sqnr(calibrated(x), model(x)) > sqnr(nearest(x), model(x)) + 0.5


def test_what_int8_cannot_hold_becomes_float16(monkeypatch):
    monkeypatch.setattr(recurrent, "_LEAST", 90.0)
    model, x = Speaker(nn.LSTM, 5.0), spectrum(9, 5.0)
    model.last = nn.Identity()
    result = quantized(model, 5.0)
    (note,) = (note for note in result.report.notes if "float16" in note)
    assert note.startswith("lstm: float16 weights, int8 ones would leave ")
    with torch.no_grad():
        assert sqnr(result(x), model(x)) > 50
    assert not any(name.endswith("_equalized") for name in names(result))
    assert any(value.dtype is torch.float16 for value in result.state_dict().values())


def test_shared_weights_are_not_scaled():
    """Equalization would change the other layer."""

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.GRU(POWERS, 32), nn.GRU(POWERS, 32)
            with torch.no_grad():
                self.a.weight_ih_l0 /= spectrum(0, 5.0).square().mean((0, 1)).sqrt()
            self.b.weight_ih_l0 = self.a.weight_ih_l0

        def forward(self, x):
            return self.a(x)[0], self.b(x)[0]

    model, x = Shared().eval(), spectrum(9, 5.0)
    result = quantized(model, 5.0)
    with torch.no_grad():
        for got, want in zip(result(x), model(x), strict=True):
            assert sqnr(got, want) > 25
