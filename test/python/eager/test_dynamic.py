"""qnative.quantize_dynamic: which modules it replaces, and their results."""

import copy
import io
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import qnative
from qnative.graph.nodes import Unsupported

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # torch: no oneDNN for projections; warnings of its own layers under export
    pytest.mark.filterwarnings("ignore:LSTM with projections", "ignore:The tensor attribute"),
]

# dtype of the weights, and how far outputs may be from the float module's, relative to their size:
# a weight is rounded by up to 1/254, 1/2048, 1/510 and 1/30 of the largest.
CLOSE = {torch.qint8: 2e-2, torch.float16: 1e-3, torch.quint8: 5e-3, torch.quint4x2: 1e-1}


class Layer(nn.Module):
    """A recurrent layer or cell that returns a flat tuple."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor):
        return self.layer(x)


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens(*shape):
    return torch.randint(0, 20, shape, generator=torch.Generator().manual_seed(0))


def with_outliers():
    """Two inputs have far larger weights: they get repeated columns in int8."""
    linear = nn.Linear(64, 7)
    with torch.no_grad():
        linear.weight[1, 5] *= 40
        linear.weight[4, 60] = -3.0
    return linear


CASES = {
    "linear": (lambda: nn.Linear(24, 7), rows(2, 3, 24), "multiplied"),
    "linear with outliers": (with_outliers, rows(2, 3, 64), "multiplied"),
    "linear without bias": (lambda: nn.Linear(24, 7, bias=False), rows(5, 24), "multiplied"),
    "lstm": (lambda: nn.LSTM(24, 16), rows(4, 3, 24), "multiplied"),
    "lstm with all options": (
        lambda: nn.LSTM(24, 16, 2, True, True, 0.5, True, 5),
        rows(3, 4, 24),
        "multiplied",
    ),
    "lstm without bias": (lambda: nn.LSTM(24, 16, bias=False), rows(4, 24), "multiplied"),
    "gru": (lambda: nn.GRU(24, 16, 2, bidirectional=True), rows(4, 3, 24), "multiplied"),
    "gru of one sequence": (lambda: nn.GRU(24, 16, bias=False), rows(4, 24), "multiplied"),
    "lstm_cell": (lambda: nn.LSTMCell(24, 16), rows(3, 24), "multiplied"),
    "gru_cell": (lambda: nn.GRUCell(24, 16, bias=False), rows(24), "multiplied"),
    "rnn_tanh_cell": (lambda: nn.RNNCell(24, 16), rows(3, 24), "multiplied"),
    "rnn_relu_cell": (lambda: nn.RNNCell(24, 16, nonlinearity="relu"), rows(3, 24), "multiplied"),
    "conv1d": (lambda: nn.Conv1d(6, 8, 4, padding="same"), rows(2, 6, 20), "convolved"),
    "conv2d": (
        lambda: nn.Conv2d(6, 8, 3, 2, (1, 2), 2, 2, False, "reflect"),
        rows(2, 6, 20, 19),
        "convolved",
    ),
    "conv2d depthwise": (lambda: nn.Conv2d(6, 12, 3, groups=6), rows(6, 9, 9), "convolved"),
    "conv3d": (lambda: nn.Conv3d(6, 6, 3, 1, "valid"), rows(2, 6, 8, 9, 7), "convolved"),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(6, 8, 4, 2), rows(2, 6, 20), "convolved"),
    "conv_transpose2d": (
        lambda: nn.ConvTranspose2d(6, 8, 3, 2, 1, 1, 2, False, 1),
        rows(2, 6, 8, 8),
        "convolved",
    ),
    "conv_transpose3d": (lambda: nn.ConvTranspose3d(6, 5, 2), rows(2, 6, 5, 5, 5), "convolved"),
    "embedding": (lambda: nn.Embedding(20, 12, padding_idx=3), tokens(3, 4), "table"),
    "embedding_bag": (lambda: nn.EmbeddingBag(20, 12, mode="sum"), tokens(3, 4), "table"),
    "embedding_bag of means": (
        lambda: nn.EmbeddingBag(20, 12, padding_idx=1),
        tokens(3, 4),
        "table",
    ),
    "embedding_bag of maxima": (lambda: nn.EmbeddingBag(20, 12, mode="max"), tokens(3, 4), "table"),
}
DTYPES = {
    "multiplied": (torch.qint8, torch.float16),
    "convolved": (torch.qint8,),
    "table": (torch.quint8, torch.quint4x2),
}
PAIRS = [(name, dtype) for name, case in CASES.items() for dtype in DTYPES[case[2]]]


def flat(y):
    return torch.utils._pytree.tree_leaves(y)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))


def saved(module, save, load):
    file = io.BytesIO()
    save(module, file)
    file.seek(0)
    return load(file)


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}, {str(pair[1])[6:]}")
def layer(request):
    name, dtype = request.param
    make, x, _ = CASES[name]
    torch.manual_seed(0)
    model = make().eval()
    return model, qnative.quantize_dynamic(model, {type(model)}, dtype), x, dtype


@torch.no_grad()
def test_results_are_close(layer):
    model, quantized, x, dtype = layer
    assert type(quantized) is getattr(qnative.nn, type(model).__name__)
    assert not any(module.training for module in quantized.modules())
    assert not list(quantized.parameters())
    for y, expected in zip(flat(quantized(x)), flat(model(x)), strict=True):
        assert y.shape == expected.shape and y.dtype is torch.float32
        assert float((y - expected).norm() / expected.norm()) < CLOSE[dtype]


def test_results_are_those_of_quantize(layer):
    model, quantized, x, dtype = layer
    recipe = {
        torch.qint8: "dynamic",
        torch.float16: "dynamic_fp16",
        torch.quint8: "weight_only",
        torch.quint4x2: "weight_only_int4",
    }[dtype]
    graph = qnative.quantize(Layer(model), (x,), recipe=recipe, dynamic_shapes=None)
    assert not graph.report.float_rows
    assert same(quantized(x), graph(x))


def test_copies_and_files(layer):
    _, quantized, x, _ = layer
    y = quantized(x)
    assert same(copy.deepcopy(quantized)(x), y)
    assert same(pickle.loads(pickle.dumps(quantized))(x), y)
    state = saved(
        quantized.state_dict(), torch.save, lambda file: torch.load(file, weights_only=True)
    )
    other = copy.deepcopy(quantized)
    for value in other.state_dict().values():
        value.fill_(1)
    assert not same(other(x), y)
    other.load_state_dict(state)
    assert same(other(x), y)


def test_torchscript(layer):
    _, quantized, x, _ = layer
    y = quantized(x)
    # A scripted nn.LSTM or nn.GRU has overloads, and a forward only as a submodule.
    for made in (torch.jit.script(Layer(quantized)), torch.jit.trace(quantized, x)):
        assert same(saved(made, torch.jit.save, torch.jit.load)(x), y)


MADE = {
    "Linear": lambda dtype: qnative.nn.Linear(24, 7, dtype=dtype),
    "LSTM": lambda dtype: qnative.nn.LSTM(24, 16, 2, bidirectional=True, proj_size=5, dtype=dtype),
    "GRU": lambda dtype: qnative.nn.GRU(24, 16, 2, bidirectional=True, dtype=dtype),
    "LSTMCell": lambda dtype: qnative.nn.LSTMCell(24, 16, dtype=dtype),
    "GRUCell": lambda dtype: qnative.nn.GRUCell(24, 16, dtype=dtype),
    "RNNCell": lambda dtype: qnative.nn.RNNCell(24, 16, dtype=dtype),
}
FLOATS = {
    "Linear": lambda: nn.Linear(24, 7),
    "LSTM": lambda: nn.LSTM(24, 16, 2, bidirectional=True, proj_size=5),
    "GRU": lambda: nn.GRU(24, 16, 2, bidirectional=True),
    "LSTMCell": lambda: nn.LSTMCell(24, 16),
    "GRUCell": lambda: nn.GRUCell(24, 16),
    "RNNCell": lambda: nn.RNNCell(24, 16),
}


@torch.no_grad()
def test_large_weights_get_repeated_columns():
    torch.manual_seed(0)
    model, x = nn.Sequential(with_outliers()), rows(50, 64)
    made = qnative.quantize_dynamic(model)
    assert set(made[0].repeated.tolist()) == {5, 60}
    plain = qnative.nn.Linear.of(model[0].weight, model[0].bias, torch.int8, False)
    error = [(each(x) - model(x)).norm() for each in (made, plain)]
    # The remaining error is the rounding of x, equal for both.
    assert error[0] < 0.75 * error[1]


def test_state_dicts_hold_the_repeated_columns():
    torch.manual_seed(0)
    x = rows(2, 3, 64)
    made = qnative.quantize_dynamic(nn.Sequential(with_outliers()))
    plain = qnative.quantize_dynamic(nn.Sequential(nn.Linear(64, 7)))
    assert plain[0].repeated is None and "0.repeated" not in plain.state_dict()
    for source, target in ((made, plain), (plain, made)):
        y, state = source(x), copy.deepcopy(source.state_dict())
        target = copy.deepcopy(target)
        target.load_state_dict(state)
        assert torch.equal(target(x), y)
        other = qnative.nn.Linear(64, 7)
        other.load_state_dict({name[2:]: value for name, value in state.items()}, assign=True)
        assert torch.equal(other(x), y)
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.packed_weight"):
        made.load_state_dict(qnative.quantize_dynamic(nn.Sequential(nn.Linear(99, 7))).state_dict())


def test_repeated_columns_compile_and_export():
    torch.manual_seed(0)
    made, x = qnative.quantize_dynamic(nn.Sequential(with_outliers())), rows(2, 3, 64)
    y = made(x)
    shapes = ({0: torch.export.Dim.AUTO},)
    exported = torch.export.export(made, (x,), dynamic_shapes=shapes).module()
    compiled = torch.compile(made, fullgraph=True, dynamic=True)
    for batch in (x, rows(5, 3, 64)):
        assert torch.equal(exported(batch), made(batch))
        assert torch.equal(compiled(batch), made(batch))
    assert torch.equal(exported(x), y)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16], ids=str)
@pytest.mark.parametrize("name", MADE)
def test_a_module_made_by_hand_takes_a_state_dict(name, dtype):
    asked = torch.qint8 if dtype is torch.int8 else dtype
    quantized = qnative.quantize_dynamic(FLOATS[name](), dtype=asked)
    made = MADE[name](dtype).eval()
    made.load_state_dict(quantized.state_dict())
    x = rows(4, 3, 24) if name in ("LSTM", "GRU") else rows(3, 24)
    assert same(made(x), quantized(x)) and str(made) == str(quantized)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][2] == "convolved"])
def test_a_convolution_made_by_hand_takes_a_state_dict(name):
    make, x, _ = CASES[name]
    model = make()
    quantized = qnative.quantize_dynamic(model, {type(model)})
    options = {} if model.transposed else {"padding_mode": model.padding_mode}
    if model.transposed:
        options["output_padding"] = model.output_padding
    made = getattr(qnative.nn, type(model).__name__)(
        *(model.in_channels, model.out_channels, model.kernel_size, model.stride, model.padding),
        **{"dilation": model.dilation, "groups": model.groups, "bias": model.bias is not None},
        **options,
    )
    made.load_state_dict(quantized.state_dict())
    assert same(made(x), quantized(x)) and str(made) == str(quantized)


@torch.no_grad()
def test_output_size_of_transposed_convolutions():
    model, x = nn.ConvTranspose2d(6, 8, 3, stride=(2, 3)), rows(2, 6, 5, 5)
    quantized = qnative.quantize_dynamic(model, {nn.ConvTranspose2d})
    for size in ([11, 15], [12, 17], [2, 8, 12, 16]):
        y, want = quantized(x, size), model(x, size)
        assert y.shape == want.shape
        assert float((y - want).norm() / want.norm()) < 2e-2
    assert torch.equal(torch.jit.script(quantized)(x, [12, 16]), quantized(x, [12, 16]))
    with pytest.raises(RuntimeError, match="output_padding must be"):
        quantized(x, [13, 16])


@pytest.mark.parametrize("bits", [4, 8])
def test_a_table_made_by_hand_takes_a_state_dict(bits):
    dtype = {4: torch.quint4x2, 8: torch.quint8}[bits]
    for float_module, made in (
        (nn.Embedding(20, 12), qnative.nn.Embedding(20, 12, bits=bits)),
        (nn.EmbeddingBag(20, 12), qnative.nn.EmbeddingBag(20, 12, bits=bits)),
    ):
        quantized = qnative.quantize_dynamic(float_module, {type(float_module)}, dtype)
        made.load_state_dict(quantized.state_dict())
        assert torch.equal(made(tokens(3, 4)), quantized(tokens(3, 4)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.LSTM(24, 16, 2, bidirectional=True),
        lambda: nn.LSTM(24, 16, proj_size=5),
        lambda: nn.GRU(24, 16, 2, bidirectional=True),
    ],
)
@pytest.mark.parametrize("scripted", [False, True])
def test_packed_sequences(make, scripted):
    class Packed(nn.Module):
        def __init__(self, rnn):
            super().__init__()
            self.rnn = rnn

        def forward(self, x: PackedSequence):
            return self.rnn(x)

    torch.manual_seed(0)
    rnn = qnative.quantize_dynamic(make())
    sequences = [rows(n, 24, seed=n) for n in (3, 9, 5)]
    model = torch.jit.script(Packed(rnn)) if scripted else rnn
    y, states = model(pack_sequence(sequences, enforce_sorted=False))
    padded, lengths = pad_packed_sequence(y)
    assert lengths.tolist() == [3, 9, 5]
    for i, x in enumerate(sequences):
        alone, own_states = rnn(x[:, None])
        assert torch.equal(padded[: len(x), i], alone[:, 0])
        for state, own in zip(flat(states), flat(own_states), strict=True):
            assert torch.equal(state[:, i], own[:, 0])


def test_first_states():
    torch.manual_seed(0)
    packed = pack_sequence([rows(n, 24, seed=n) for n in (3, 9, 5)], enforce_sorted=False)
    for make, count in ((lambda: nn.LSTM(24, 16), 2), (lambda: nn.GRU(24, 16), 1)):
        rnn = make()
        quantized = qnative.quantize_dynamic(rnn)
        states = tuple(rows(1, 3, 16, seed=i) for i in range(count))
        hx = states if count == 2 else states[0]
        for x in (rows(4, 3, 24), packed):
            for y, expected in zip(flat(quantized(x, hx)), flat(rnn(x, hx)), strict=True):
                if y.is_floating_point():
                    torch.testing.assert_close(y, expected, rtol=0, atol=1e-2)
    cell = nn.LSTMCell(24, 16)
    hx = rows(3, 16), rows(3, 16, seed=1)
    quantized = qnative.quantize_dynamic(cell)
    for y, expected in zip(quantized(rows(3, 24), hx), cell(rows(3, 24), hx), strict=True):
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-2)


# ---- which modules -----------------------------------------------------------------------------


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 12)
        self.bag = nn.EmbeddingBag(20, 12)
        self.body = nn.Sequential(nn.Linear(12, 12), nn.Sequential(nn.ReLU(), nn.Linear(12, 12)))
        self.rnn = nn.LSTM(12, 6)
        self.conv = nn.Conv1d(6, 2, 1)
        self.pair = nn.Bilinear(6, 6, 2)


def specs():
    from torch.ao.quantization import default_dynamic_qconfig as int8
    from torch.ao.quantization import float16_dynamic_qconfig as half
    from torch.ao.quantization import float_qparams_weight_only_qconfig as table

    return {
        "int8": (None, torch.qint8),
        "half": (None, torch.float16),
        "table": (None, torch.quint8),
        "table of 4 bits": (None, torch.quint4x2),
        "types": ({nn.Linear}, torch.qint8),
        "names": ({"body", "rnn"}, torch.float16),
        "a name below": ({"body.1"}, torch.qint8),
        "qconfigs": ({nn.Linear: int8, nn.Embedding: table, "body.1": half}, torch.qint8),
        "none for a name": ({nn.Linear: int8, "body.0": None}, torch.qint8),
        "nothing": ({nn.GRU}, torch.qint8),
    }


def kinds(model):
    """Names of the replaced modules, and of those with float16 weights."""
    result = {}
    for name, module in model.named_modules():
        place = type(module).__module__
        inner = any(part in name for part in (".parts", "_packed_params", "_all_weight_values"))
        if not inner and ("quantized" in place or place.startswith("qnative.nn")):
            shown = f"{module} {getattr(module, 'dtype', None)}"
            result[name] = type(module).__name__, "float16" in shown
    return result


@pytest.mark.parametrize("case", specs())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_replaces_the_modules_that_upstream_replaces(case):
    spec, dtype = specs()[case]
    ours = kinds(qnative.quantize_dynamic(Model(), spec, dtype))
    theirs = kinds(torch.ao.quantization.quantize_dynamic(Model(), spec, dtype))
    assert ours == theirs and bool(ours) == (case != "nothing")


def test_a_qconfig_of_a_module_is_used_and_removed():
    model = Model()
    model.body[0].qconfig = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantized = qnative.quantize_dynamic(model, {nn.Linear: torch.float16})
    assert list(kinds(quantized)) == ["body.1.1"]
    assert not any(hasattr(module, "qconfig") for module in quantized.modules())
    assert model.body[0].qconfig is None and type(model.body[1][1]) is nn.Linear


def test_inplace():
    model = Model()
    assert qnative.quantize_dynamic(model, inplace=True) is model
    assert type(model.rnn) is qnative.nn.LSTM


def test_a_shared_module_stays_shared():
    shared = nn.Linear(4, 4)
    quantized = qnative.quantize_dynamic(nn.Sequential(shared, nn.ReLU(), shared))
    assert quantized[0] is quantized[2] and type(quantized[0]) is qnative.nn.Linear


def test_hooks_and_parametrizations():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 4)))
    seen = []
    model[0].register_forward_hook(lambda module, args, y: seen.append(y))
    quantized = qnative.quantize_dynamic(model)
    x = rows(3, 8)
    assert torch.equal(quantized(x), seen[-1]) and type(quantized[0]) is qnative.nn.Linear
    torch.testing.assert_close(quantized(x), model(x), rtol=0, atol=2e-2)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_hooks_that_compute_the_weight(norm):
    """Those of torch.nn.utils, which run before each call."""
    model = nn.Sequential(getattr(nn.utils, norm)(nn.Conv1d(6, 8, 3))).eval()
    for parameter in model.parameters():
        parameter.mul_(1.5)
    quantized = qnative.quantize_dynamic(model, {nn.Conv1d})
    x = rows(2, 6, 20)
    y, want = quantized(x), model(x)
    assert type(quantized[0]) is qnative.nn.Conv1d
    assert float((y - want).norm() / want.norm()) < CLOSE[torch.qint8]


@torch.no_grad()
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_transformer_encoder(activation):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, activation=activation, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    quantized = qnative.quantize_dynamic(model)
    x = rows(2, 5, 16)
    torch.testing.assert_close(quantized(x), model(x), rtol=0, atol=5e-2)


def test_max_norm():
    for module in (nn.Embedding(20, 12, max_norm=1.0), nn.EmbeddingBag(20, 12, max_norm=1.0)):
        quantized = qnative.quantize_dynamic(module, {type(module)}, torch.quint8)
        torch.testing.assert_close(quantized(tokens(3, 4)), module(tokens(3, 4)), rtol=0, atol=1e-2)


class Own(nn.Module):
    @classmethod
    def from_float(cls, mod):
        new = cls()
        new.dtype = mod.qconfig.weight().dtype
        return new


def test_mapping():
    quantized = qnative.quantize_dynamic(Model(), {nn.Conv1d}, mapping={nn.Conv1d: Own})
    assert type(quantized.conv) is Own and quantized.conv.dtype is torch.qint8


def test_report():
    """A row for each layer; one that stays float says why, in a container that was named too."""
    net = nn.Sequential()
    net.body = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(), nn.Linear(8, 4))
    net.head = nn.Linear(4, 2)
    report = qnative.quantize_dynamic(net, {"body"}, torch.float16).report
    assert [(row.module, row.op, row.verdict, row.kernel, row.reason) for row in report.rows] == [
        ("body.0", "Conv2d", "float", "", "qnative.nn has nothing for Conv2d in float16"),
        ("body.2", "Linear", "quantized", "qnative.nn.linear.Linear", ""),
        ("head", "Linear", "float", "", "qconfig_spec does not ask for it"),
    ]
    assert report.rows[1].float_bytes == 4 * (8 * 4 + 4) and report.rows[1].packed_bytes > 0
    assert "1 quantized" in str(report) and net.head.weight.shape == (2, 4)
    rows_of_int8 = qnative.quantize_dynamic(net, {"body"}).report.rows
    assert (rows_of_int8[0].verdict, rows_of_int8[0].kernel) == (
        *("quantized", "qnative.nn.conv.Conv2d"),
    )
    both = nn.ModuleList([net.head, net.head])
    assert [row.module for row in qnative.quantize_dynamic(both).report.rows] == ["0"]
    assert copy.deepcopy(qnative.quantize_dynamic(net)).report.count("quantized") == 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({nn.Linear, nn.Bilinear}, r"stays float, .* for it: 'pair' \(Bilinear\); see"),
        ({"pair"}, r"for it: 'pair' \(Bilinear\)"),
        ({"conv": torch.float16}, r"for it: 'conv' \(Conv1d\)"),
        ({nn.GRU}, "the model has nothing that qconfig_spec asks for"),
    ],
)
def test_warnings(spec, message):
    with pytest.warns(UserWarning, match=message):
        qnative.quantize_dynamic(Model(), spec)


def test_no_warning_without_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        qnative.quantize_dynamic(Model())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, torch.int32), ValueError, "dtype must be one of torch.qint8, .* got torch.int32"),
        (({nn.Linear}, torch.int32), ValueError, "dtype must be one of"),
        (([nn.Linear],), TypeError, "qconfig_spec must be None, a set or a dict, got list"),
        (({"boby"},), ValueError, "the model has no submodule 'boby'"),
        (({3},), TypeError, "types of modules and names of submodules, got 3"),
        (({nn.Linear: "int8"},), TypeError, "must be a QConfig, a torch.dtype or None, got 'int8'"),
        (
            ({"body"}, torch.quint8),
            ValueError,
            r"module 'body.0': Linear takes weights of dtype torch.qint8, .* asks for torch.quint8",
        ),
        (({nn.Embedding},), ValueError, "module 'table': Embedding takes weights of dtype"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        qnative.quantize_dynamic(Model(), *arguments)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(3, 2).double()), "module '0': its weight is torch.float64"),
        (nn.Sequential(nn.Linear(3, 0)), r"module '0': its weight has shape \[0, 3\]"),
        (nn.Sequential(nn.Linear(65794, 1)), "module '0': it sums 65794 products, more than 65793"),
        (nn.GRU(3, 2).double(), "module '': its weight is torch.float64"),
        (nn.Conv2d(3, 2, 1).double(), "module '': its weight is torch.float64"),
        (nn.Conv1d(6, 2, 10966), "module '': it sums 65796 products, more than 65793"),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_weights_that_cannot_be_quantized(model, message):
    with pytest.raises(ValueError, match=message):
        qnative.quantize_dynamic(model, {nn.Linear, nn.GRU, nn.Conv1d, nn.Conv2d})


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(value):
    for module, dtype in (
        *((nn.Linear(3, 2), torch.qint8), (nn.Conv2d(3, 2, 1), torch.qint8)),
        (nn.Embedding(3, 2), torch.quint8),
    ):
        nn.init.constant_(module.weight, value)
        with pytest.raises(ValueError, match="finite"):
            qnative.quantize_dynamic(module, {type(module)}, dtype)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: qnative.nn.Linear(3, 2, dtype=torch.int32), "dtype must be torch.int8 or"),
        (lambda: qnative.nn.Linear(65794, 1), "more than 65793"),
        (lambda: qnative.nn.Embedding(3, 2, bits=2), "bits must be 8 or 4, got 2"),
        (lambda: qnative.nn.EmbeddingBag(3, 2, mode="min"), "mode must be one of sum, mean, max"),
        (lambda: qnative.nn.GRU(3, 2, proj_size=1), "only LSTM has a proj_size"),
        (lambda: qnative.nn.RNNCell(3, 2, nonlinearity="elu"), "must be 'tanh' or 'relu'"),
    ],
)
def test_errors_of_modules(make, message):
    assert issubclass(Unsupported, ValueError)
    with pytest.raises(ValueError, match=message):
        make()
