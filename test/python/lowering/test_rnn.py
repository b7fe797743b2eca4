"""Recurrent layers and cells: qnative.quantize against the float models."""

import pytest
import torch
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

import qnative
from support.checks import through_trace

RECIPES = {"dynamic": 1e-2, "dynamic_fp16": 1e-3}  # int8 and half precision weights
LAYERS = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"batch_first": True, "bias": False},
    {"proj_size": 20},
]


class Layer(torch.nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.rnn = kind(24, 64, **options)

    def forward(self, x):
        y, states = self.rnn(x)
        return y, *(states if isinstance(states, tuple) else [states])


class Cells(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTMCell(24, 64)
        self.gru = torch.nn.GRUCell(64, 48)
        self.tanh = torch.nn.RNNCell(48, 32)
        self.relu = torch.nn.RNNCell(32, 16, nonlinearity="relu", bias=False)

    def forward(self, x):
        h, c = self.lstm(x)
        return self.relu(self.tanh(self.gru(h))), c


def check(model, x, recipe, other):
    """``other``: an input with other dynamic sizes."""
    model = model.eval()
    auto = torch.export.Dim.AUTO
    shapes = (dict.fromkeys(range(x.dim() - 1), auto),)
    lowered = qnative.quantize(model, (x,), recipe=recipe, dynamic_shapes=shapes)
    assert not lowered.report.float_rows, lowered.report
    with torch.no_grad():
        for inputs in (x, other):
            for y, expected in zip(lowered(inputs), model(inputs), strict=True):
                torch.testing.assert_close(y, expected, rtol=0, atol=RECIPES[recipe])
        loaded = through_trace(lowered, x)
        for y, z in zip(lowered(other), loaded(other), strict=True):
            assert torch.equal(y, z)


def other_batch(options):
    """torch.export unrolls the steps of a sequence, which fixes their number."""
    return torch.randn(*((40, 5) if options.get("batch_first") else (7, 40)), 24)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("options", LAYERS, ids=str)
@pytest.mark.filterwarnings("ignore")  # torch: oneDNN has no projections; jit is deprecated
def test_lstm(options, recipe):
    torch.manual_seed(0)
    check(Layer(torch.nn.LSTM, **options), torch.randn(7, 5, 24), recipe, other_batch(options))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("options", LAYERS[:3], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_gru(options, recipe):
    torch.manual_seed(0)
    check(Layer(torch.nn.GRU, **options), torch.randn(7, 5, 24), recipe, other_batch(options))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.filterwarnings("ignore")
def test_cells(recipe):
    torch.manual_seed(0)
    check(Cells(), torch.randn(5, 24), recipe, torch.randn(9, 24))


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequence_is_each_sequence_by_itself(kind, bidirectional):
    torch.manual_seed(0)
    model = Layer(kind, bidirectional=bidirectional).eval()
    lowered = qnative.quantize(model, (torch.randn(7, 2, 24),), recipe="dynamic")
    constants = constants_of(lowered)
    lengths = [9, 9, 5, 2]
    sequences = [torch.randn(n, 24) for n in lengths]
    packed = torch.nn.utils.rnn.pack_sequence(sequences)
    d = 2 if bidirectional else 1
    op = getattr(torch.ops.qnative, kind.__name__.lower())
    states = [torch.zeros(d, 4, 64)] * (2 if kind is torch.nn.LSTM else 1)
    sizes = [24, 64, *([0] if kind is torch.nn.LSTM else []), 1, bidirectional]
    y, *last = op.data(packed.data, packed.batch_sizes, *states, *constants, *sizes)
    y = packed._replace(data=y)
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(y)
    for i, x in enumerate(sequences):
        alone, *state = op(x[:, None], *[None] * len(states), *constants, *sizes, False)
        assert torch.equal(padded[: len(x), i], alone[:, 0])
        assert all(torch.equal(a[:, i], b[:, 0]) for a, b in zip(last, state, strict=True))
    for bad in ([4, 5], [4, 0], [3, 3], [4] * 7):
        with pytest.raises(RuntimeError, match="batch_sizes must"):
            op.data(packed.data, torch.tensor(bad), *states, *constants, *sizes)


def constants_of(lowered):
    """weights, weight_scales and biases of the recurrent op."""
    node = next(n for n in lowered.graph.nodes if str(n.target).startswith("qnative."))
    lists = [arg for arg in node.args if isinstance(arg, (list, tuple))]
    return [[getattr_path(lowered, n.target) for n in part] for part in lists]


def getattr_path(module, target):
    for part in target.split("."):
        module = getattr(module, part)
    return module


def test_no_time_step():
    model = Layer(torch.nn.LSTM).eval()
    lowered = qnative.quantize(model, (torch.randn(7, 2, 24),), recipe="dynamic")
    assert lowered is not None
    with pytest.raises(RuntimeError, match="at least one time step"):
        torch.ops.qnative.lstm(torch.randn(0, 2, 4), None, None, *ones(), 4, 6, 0, 1, False, False)
    y, h, c = torch.ops.qnative.lstm(
        torch.randn(3, 0, 4), None, None, *ones(), 4, 6, 0, 1, False, False
    )
    assert y.shape == (3, 0, 6) and h.shape == c.shape == (1, 0, 6)


def ones():
    pack = torch.ops.qnative.linear_pack
    weights = [pack(torch.ones(24, k, dtype=torch.int8)) for k in (4, 6)]
    return weights, [torch.ones(24)] * 2, []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "size, layers, bidirectional",
    [(64, 1, False), (100, 1, True), (256, 1, False), (256, 2, True), (512, 1, False)],
)
@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.filterwarnings("ignore")  # torch deprecates its quantized modules
def test_200_steps_stay_close(kind, size, layers, bidirectional, seed):
    """torch's dynamic int8 layer has 7 bits and more than twice the error."""
    torch.manual_seed(seed)
    model = kind(size, size, num_layers=layers, bidirectional=bidirectional).eval()
    x = torch.randn(200, 2, size)
    lowered = qnative.quantize(model, (x[:2],), recipe="dynamic")
    is_lstm = kind is torch.nn.LSTM
    op = torch.ops.qnative.lstm if is_lstm else torch.ops.qnative.gru
    sizes = [size, size, *([0] if is_lstm else []), layers, bidirectional, False]
    with torch.no_grad():
        theirs = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(model))
        want = model(x)[0]
        error = op(x, *[None] * (1 + is_lstm), *constants_of(lowered), *sizes)[0] - want
        their_error = theirs(x)[0] - want
    assert error.abs().max() < 1e-2
    assert 2 * error.square().mean().sqrt() < their_error.square().mean().sqrt()


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("is_batched", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_first_states_are_given(kind, is_batched):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = kind(24, 64, batch_first=True)

        def forward(self, x, *states):
            return self.rnn(x, states if len(states) == 2 else states[0])[0]

    torch.manual_seed(0)
    batch = (5,) if is_batched else ()
    count = 2 if kind is torch.nn.LSTM else 1
    inputs = torch.randn(*batch, 7, 24), *(torch.randn(1, *batch, 64) for _ in range(count))
    model = Model().eval()
    lowered = qnative.quantize(model, inputs, recipe="dynamic")
    assert not lowered.report.float_rows, lowered.report
    with torch.no_grad():
        y, zeros = lowered(*inputs), [0 * state for state in inputs[1:]]
        torch.testing.assert_close(y, model(*inputs), rtol=0, atol=1e-2)
        assert (y - lowered(inputs[0], *zeros)).abs().max() > 0.1


def test_packing_inside_a_model_is_an_error():
    """torch.export cannot trace it; lstm.data and gru.data serve callers who pack themselves."""

    class Packing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.LSTM(24, 64)

        def forward(self, x, lengths):
            packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths)
            return torch.nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0])[0]

    inputs = torch.randn(7, 3, 24), torch.tensor([7, 5, 3])
    with pytest.raises(RuntimeError, match=r"qnative\.quantize: torch\.export rejects Packing"):
        qnative.quantize(Packing(), inputs, recipe="dynamic")


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.filterwarnings("ignore")
def test_dropout_of_training_stays_float(dropout):
    model = torch.nn.LSTM(24, 64, num_layers=2, dropout=dropout).train()
    x = torch.randn(7, 3, 24)
    module = torch.export.export(model, (x,)).module()
    prepared = prepare_pt2e(module, qnative.Quantizer(recipe="dynamic"))
    report = qnative.lower(convert_pt2e(prepared)).report
    reasons = [row.reason for row in report.float_rows]
    wanted = ["it drops out: export the model in eval mode"] if dropout else []
    assert [reason for reason in reasons if "drops out" in reason] == wanted, report


def test_a_bias_without_the_other_stays_float():
    class Cell(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = torch.nn.RNNCell(24, 64)

        def forward(self, x, h):
            cell = self.cell
            return torch.rnn_tanh_cell(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, None)

    inputs = torch.randn(3, 24), torch.randn(3, 64)
    lowered = qnative.quantize(Cell(), inputs, recipe="dynamic")
    (row,) = lowered.report.float_rows
    assert row.reason == "it has one bias where qnative has two or none"


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"proj_size": 100}], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_threads_change_no_bit(kind, recipe, options):
    """Splits of units that start inside a panel of 16, and splits of rows."""
    if kind is torch.nn.GRU and "proj_size" in options:
        pytest.skip("GRU has no projections")
    torch.manual_seed(0)
    model = kind(100, 250, **options).eval()
    inputs = [torch.randn(6, batch, 100) for batch in (1, 8, 40)]
    shapes = ({0: torch.export.Dim.STATIC, 1: torch.export.Dim.AUTO},)
    lowered = qnative.quantize(model, (inputs[1],), recipe=recipe, dynamic_shapes=shapes)
    before, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 8):
            torch.set_num_threads(count)
            results.append([lowered(x)[0] for x in inputs])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(y, z) for y, z in zip(results[0], others, strict=True))
