"""qnative.migrate of dynamically quantized models, and of float models with dynamic=True."""

import pytest
import torch
import torch.ao.quantization as tq
from torch import nn

import qnative
from benchmark import speech
from support.quantized_models import Recurrent, dynamic_model, kinds, old_kinds, quiet, to_script


@pytest.fixture
def indices():
    return torch.randint(0, 20, (5, 2), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def recurrent():
    torch.manual_seed(0)
    return Recurrent().eval()


def ops_of(result):
    return {row.kernel for row in result.rows if row.verdict == "moved"}


LAYERS = {f"qnative::{name}" for name in ("lstm", "gru")}
CELLS = {f"qnative::{n}" for n in ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")}


def same_weights(model, result, example):
    """Upstream quantizes activations per tensor, qnative per row: both are as close to the float
    model, and to each other, as 8 bits of activations in [-1, 1] allow after a few layers."""
    assert result.complete and old_kinds(result.module) == set()
    for before, after in zip(quiet(model, example), result.module(example), strict=True):
        assert (before - after).abs().max() < 0.03


@pytest.mark.parametrize("form", ["script", "trace"])
def test_int8_layers(tmp_path, recurrent, indices, form):
    model = quiet(dynamic_model, recurrent)
    script = quiet(to_script, model, indices, form)
    result = qnative.migrate(script, tmp_path / "new.pt", example_inputs=(indices,))
    wanted = {"qnative::embedding_8bit", "qnative::embedding_bag_8bit", "qnative::linear_dynamic"}
    assert ops_of(result) >= LAYERS | CELLS | wanted
    same_weights(model, result, indices)
    loaded = torch.jit.load(tmp_path / "new.pt")
    assert torch.equal(loaded(indices)[0], result.module(indices)[0])
    # Table rows are equal numbers; only the fma rounds differently.
    assert torch.allclose(quiet(model, indices)[5], loaded(indices)[5], atol=1e-5)


def test_fp16_layers(indices):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 8), nn.ReLU(), nn.LSTM(8, 6)).eval()
    spec = {nn.Linear: tq.float16_dynamic_qconfig, nn.LSTM: tq.float16_dynamic_qconfig}
    quantized = quiet(tq.quantize_dynamic, model, spec)
    script = quiet(torch.jit.script, quantized)
    result = qnative.migrate(script, example_inputs=(indices,))
    assert ops_of(result) == {"qnative::linear_dynamic_fp16", "qnative::lstm"}
    # Equal float16 weights; sums in another order.
    assert result.max_difference < 1e-5


def test_4bit_tables(recurrent, indices):
    """torch 2.13 cannot load files with them; modules in memory migrate."""
    tables = tq.float_qparams_weight_only_qconfig_4bit
    model = quiet(dynamic_model, recurrent, tables)
    script = quiet(torch.jit.script, model)
    result = qnative.migrate(script)
    assert ops_of(result) >= {"qnative::embedding_8bit", "qnative::embedding_bag_4bit"}
    same_weights(model, result, indices)
    # Rows are repacked: scales are float32, upstream's are float16.
    assert torch.allclose(quiet(model, indices)[5], result.module(indices)[5], atol=5e-3)


def test_linear_and_relu():
    torch.manual_seed(0)
    model = nn.Sequential(torch.ao.nn.intrinsic.LinearReLU(nn.Linear(16, 8), nn.ReLU())).eval()
    model[0].qconfig = model[0][0].qconfig = tq.default_dynamic_qconfig
    quantized = torch.ao.nn.intrinsic.quantized.dynamic.LinearReLU.from_float(model[0])
    x = torch.randn(4, 16)
    result = qnative.migrate(quiet(torch.jit.script, nn.Sequential(quantized)))
    assert ops_of(result) == {"qnative::linear_dynamic"}
    assert (result.module(x) >= 0).all()
    assert (result.module(x) - quiet(quantized, x)).abs().max() < 0.05


def test_float_model(recurrent, indices):
    script = quiet(torch.jit.script, recurrent)
    result = qnative.migrate(script, dynamic=True, example_inputs=(indices,))
    wanted = {"qnative::embedding_8bit", "qnative::linear_dynamic"}
    assert ops_of(result) >= LAYERS | CELLS | wanted
    same_weights(recurrent, result, indices)
    left = {"aten::linear", "aten::lstm", "aten::gru", "aten::embedding", "aten::lstm_cell"}
    assert not left & kinds(result.module)


class Company(nn.Module):
    """A layer beside a cell; tracing expands the cell into in-place ops on parts of lists."""

    def __init__(self, layer, features):
        super().__init__()
        self.layer = layer
        self.cell = nn.GRUCell(features, 4)

    def forward(self, x):
        y = self.layer(x)[0]
        return y, self.cell(y.flatten(0, 1))


LAYER_CASES = [
    (nn.LSTM, {}),
    (nn.LSTM, {"num_layers": 2}),
    (nn.LSTM, {"num_layers": 3, "bidirectional": True, "batch_first": True}),
    (nn.LSTM, {"bidirectional": True, "bias": False}),
    (nn.LSTM, {"num_layers": 2, "bidirectional": True, "proj_size": 3}),
    (nn.LSTM, {"num_layers": 2, "bias": False, "proj_size": 3}),
    (nn.GRU, {}),
    (nn.GRU, {"num_layers": 2, "batch_first": True}),
    (nn.GRU, {"num_layers": 3, "bidirectional": True, "bias": False}),
]


@pytest.mark.parametrize("form", ["script", "trace", "freeze"])
@pytest.mark.parametrize("make, options", LAYER_CASES)
def test_float_layers(make, options, form):
    torch.manual_seed(0)
    size = options.get("proj_size", 6) * (2 if options.get("bidirectional") else 1)
    model = Company(make(8, 6, **options), size).eval()
    x = torch.randn(5, 2, 8)
    result = qnative.migrate(quiet(to_script, model, x, form), dynamic=True)
    assert {row.verdict for row in result.rows} == {"moved"}
    assert f"qnative::{make.__name__.lower()}" in ops_of(result)
    assert not list(result.module.parameters()), "no float weight is left"
    other = torch.randn(3, 4, 8)
    wanted = qnative.quantize_dynamic(model, {make})(other)[0]
    assert torch.equal(result.module(other)[0], wanted)


@pytest.mark.parametrize("dynamic", [True, torch.int8, torch.float16], ids=str)
def test_dtype_of_the_weights(dynamic):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.lstm, self.cell = nn.Linear(64, 8), nn.LSTM(8, 6), nn.GRUCell(6, 4)
            with torch.no_grad():  # they get repeated columns
                self.linear.weight[1, 5] *= 40
                self.linear.weight[4, 60] = -3.0

        def forward(self, x):
            y = self.linear(x)
            z = self.lstm(y)[0]
            return y, z, self.cell(z[0])

    torch.manual_seed(0)
    model, x = Net().eval(), torch.randn(5, 2, 64)
    result = qnative.migrate(quiet(torch.jit.script, model), dynamic=dynamic)
    assert {row.verdict for row in result.rows} == {"moved"}
    default = torch.qint8 if dynamic is True else {torch.int8: torch.qint8}.get(dynamic, dynamic)
    spec = {nn.Linear: default, nn.LSTM: default}
    spec[nn.GRUCell] = torch.float16 if dynamic is True else default
    wanted = qnative.quantize_dynamic(model, spec)(x)
    for y, expected in zip(result.module(x), wanted, strict=True):
        assert torch.equal(y, expected)


def test_unknown_dtype_of_the_weights():
    script = quiet(torch.jit.script, nn.Sequential(nn.Linear(4, 4)))
    with pytest.raises(ValueError, match=r"torch\.int8 or torch\.float16, got torch\.float32"):
        qnative.migrate(script, dynamic=torch.float32)


class Written(nn.Module):
    """Weights that change in every call: in place, by assignment and through a view."""

    def __init__(self):
        super().__init__()
        shapes = {"ih": (24, 8), "hh": (24, 6), "weight": (3, 6), "rows": (4, 3), "fixed": (3, 6)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.randn(shape))

    def forward(self, x):
        self.ih.mul_(0.5)
        zeros = [torch.zeros(1, 2, 6), torch.zeros(1, 2, 6)]
        options = (False, 1, 0.0, False, False, False)
        y = torch.lstm(x, zeros, [self.ih, self.hh], *options)[0]
        self.weight = self.weight * 2
        rows = self.rows[1:]
        z = nn.functional.embedding(torch.tensor([2, 1]), self.rows)
        rows.mul_(2)
        y, fixed = nn.functional.linear(y, self.weight), nn.functional.linear(y, self.fixed)
        return y, z, fixed


def test_written_weights_stay():
    torch.manual_seed(0)
    model, x = Written().eval(), torch.randn(5, 2, 8)
    result = qnative.migrate(quiet(torch.jit.script, model), dynamic=True)
    verdicts = [(row.op, row.verdict) for row in result.rows]
    assert sorted(verdicts) == [
        ("aten::embedding", "float"),
        ("aten::linear", "float"),
        ("aten::linear", "moved"),
        ("aten::lstm", "float"),
    ]
    for _ in range(3):
        wanted, got = model(x), result.module(x)
        assert torch.equal(wanted[0], got[0]) and torch.equal(wanted[1], got[1])
        assert (wanted[2] - got[2]).abs().max() < 0.1


def test_dropout_of_a_trace_in_training_mode():
    torch.manual_seed(0)
    model, x = nn.LSTM(8, 6, 2, dropout=0.5), torch.randn(5, 2, 8)
    script = quiet(torch.jit.trace, model, (x,), check_trace=False)
    (row,) = qnative.migrate(script, dynamic=True).rows
    assert (row.verdict, row.reason) == ("float", "it drops out: it was traced in training mode")


def test_float_nodes_are_listed(indices):
    class Tied(nn.Module):
        def forward(self, x):
            return torch.nn.functional.linear(x, x)

    result = qnative.migrate(quiet(torch.jit.script, Tied().eval()), dynamic=True)
    (row,) = result.rows
    assert (row.op, row.verdict) == ("aten::linear", "float")
    assert "weight is computed" in row.reason
    assert result.complete


def test_packed_sequence_and_projection():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(8, 6, proj_size=3)

        def forward(self, x, lengths):
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths)
            return self.lstm(packed)[0].data

    torch.manual_seed(0)
    x, lengths = torch.randn(5, 2, 8), torch.tensor([5, 3])
    model = Net().eval()
    script = quiet(torch.jit.trace, model, (x, lengths))
    result = qnative.migrate(script, dynamic=True, example_inputs=(x, lengths))
    assert ops_of(result) == {"qnative::lstm"}
    assert result.max_difference < 0.03


# ---- silero-vad ----------------------------------------------------------------------------


def test_silero_vad(tmp_path):
    pytest.importorskip("silero_vad")
    file = speech.file("silero_vad.jit")
    float_model = speech.streamed(torch.jit.load(file).eval())
    result = qnative.migrate(file, tmp_path / "int8.pt", dynamic=True)
    assert ops_of(result) & {"qnative::lstm_cell", "qnative::lstm"}
    quantized = speech.streamed(torch.jit.load(tmp_path / "int8.pt"))
    for seed in range(3):
        audio = speech.windows_of_speech(375, seed)
        with torch.no_grad():
            wanted, got = float_model(audio), quantized(audio)
        assert 0.1 < (wanted > 0.5).float().mean() < 0.95, "the audio has speech and pauses"
        # Windows come within 0.001 of the threshold.
        assert (wanted - got).abs().max() < 5e-3
        assert torch.equal(wanted > 0.5, got > 0.5)
