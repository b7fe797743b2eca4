"""qnative.dry_run: which rows match where, and near misses, as the quantizer sees them."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.backend_config import BackendConfig, BackendPatternConfig, DTypeConfig


class Convolutions(nn.Module):
    """Fused, not fused, padded, and with a dropout."""

    def __init__(self):
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.b, self.c = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.pad, self.drop = nn.ZeroPad2d(1), nn.Dropout(0.5)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        x = F.relu6(self.norm(self.a(x)))
        y = self.b(self.pad(x))
        z = F.relu(y)[:, :, :-2, :-2] + x
        z = F.max_pool2d(self.drop(self.c(z)), 2)
        return torch.softmax(self.fc(z.mean((2, 3))), -1), torch.cumsum(y, 0)


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.rnn = nn.Embedding(10, 8), nn.LSTM(8, 6, batch_first=True)
        self.fc = nn.Linear(6, 3)

    def forward(self, ids):
        x, _ = self.rnn(self.table(ids))
        a, b = self.fc(x).chunk(2, 1)
        return torch.cat([F.hardswish(a), b * 2], 1)


MODELS = {
    "convolutions": (Convolutions, lambda: torch.randn(2, 3, 10, 10)),
    "text": (Text, lambda: torch.randint(0, 10, (2, 4))),
}


@pytest.mark.parametrize("recipe", ["static", "dynamic", "dynamic_fp16", "fp16", "weight_only"])
@pytest.mark.parametrize("name", MODELS)
def test_says_what_quantize_does(name, recipe):
    torch.manual_seed(0)
    build, batch = MODELS[name]
    model, x = build().eval(), batch()
    run = qnative.dry_run(model, (x,), recipe=recipe)
    report = qnative.quantize(model, (x,), [x], recipe=recipe).report
    wanted = {row.name: (row.op, row.module, row.verdict) for row in report.rows}
    assert {row.name: (row.op, row.module, row.verdict) for row in run.rows} == wanted
    assert run.notes == [note for note in report.notes if note.startswith("batch")]
    kernels = {row.name: row.kernel for row in report.rows if row.verdict == "quantized"}
    assert {row.name: row.kernel for row in run.rows if row.verdict == "quantized"} == kernels
    reasons = {row.name: row.reason for row in report.float_rows}
    assert {row.name: row.reason for row in run.float_rows} == reasons


def row(pattern, *dtypes, op="free"):
    return BackendPatternConfig(pattern).add_dtype_config(DTypeConfig(*dtypes)).set_ops(op)


def config_of(*rows):
    return BackendConfig("mine").set_backend_pattern_configs(rows)


UINT8 = (torch.quint8, torch.quint8)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x):
        y = self.norm(self.conv(x))
        return torch.relu(y) + y


def rows_of(run):
    return {row.name: row for row in run.rows}


def test_rows_and_near_misses():
    config = config_of(
        row(nn.Conv2d, *UINT8, torch.qint8, op="conv2d"),
        row((nn.Conv2d, nn.BatchNorm2d), *UINT8, torch.qint8, op="conv2d"),
        row((nn.Conv2d, nn.BatchNorm2d, nn.ReLU), *UINT8, torch.qint8, op="conv2d"),
        row(F.conv2d, *UINT8, torch.qint8, op="conv2d"),
    )
    rows = rows_of(qnative.dry_run(Net(), (torch.randn(2, 3, 8, 8),), backend_config=config))
    conv = rows["conv2d"]
    assert (conv.verdict, conv.kernel) == ("quantized", "qnative.conv2d")
    assert conv.config_rows == [1] and conv.pattern == "(torch.nn.Conv2d, torch.nn.BatchNorm2d)"
    assert conv.dtypes == "(quint8 quint8 qint8)"
    assert conv.near_misses == [
        "matched conv2d and batch_norm, but relu is not fused: batch_norm is used by add too"
    ]
    assert rows["batch_norm"].verdict == "fused"
    assert rows["add"].reason == "the config 'mine' has no row for aten.add"
    assert rows["add"].config_rows == []


def test_near_miss_of_a_missing_last_op():
    config = config_of(
        row(nn.Conv2d, *UINT8, torch.qint8, op="conv2d"),
        row((nn.Conv2d, nn.BatchNorm2d, nn.ReLU), *UINT8, torch.qint8, op="conv2d"),
    )
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sigmoid())
    conv = rows_of(qnative.dry_run(model, (torch.randn(2, 3, 4, 4),), backend_config=config))[
        "conv2d"
    ]
    assert conv.config_rows == [0]
    assert conv.near_misses == ["matched conv2d and batch_norm, but no relu follows batch_norm"]


def test_near_miss_of_dtypes():
    config = config_of(row(nn.Linear, *UINT8, torch.quint8, op="linear"))
    (linear,) = qnative.dry_run(
        nn.Sequential(nn.Linear(4, 4)), (torch.randn(2, 4),), backend_config=config
    ).rows
    assert linear.verdict == "float" and linear.config_rows == [0]
    assert "it takes an int8 weight with a scale per channel, got quint8" in linear.reason
    assert any("dynamic_int8" in miss for miss in linear.near_misses)


def test_upstreams_config():
    import torch.ao.quantization.quantize_fx
    from torch.ao.quantization.backend_config import get_native_backend_config as upstream

    model, x = nn.Sequential(nn.Linear(4, 4)), torch.randn(2, 4)
    (linear,) = qnative.dry_run(model, (x,), backend_config=upstream()).rows
    assert linear.verdict == "quantized" and linear.pattern == "torch.nn.Linear"


def test_prints_and_survives_json(capsys):
    run = qnative.dry_run(Net(), (torch.randn(2, 3, 8, 8),), backend_config="native")
    print(run)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "node" and header.endswith("near misses")
    assert any(line.startswith("4 nodes: 3 quantized, 1 fused") for line in lines)
    assert qnative.DryRun.from_json(run.to_json()) == run
    data = json.loads(run.to_json())
    assert data["summary"] == {"quantized": 3, "fused": 1, "free": 0, "float": 0}
    assert data["rows"][0]["near_misses"] == run.rows[0].near_misses
    assert "near misses" in run.to_html() and "is used by add too" in run.to_html()


def test_changes_nothing():
    torch.manual_seed(0)
    model, x = Net().train(), torch.randn(2, 3, 8, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    qnative.dry_run(model, (x,))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((nn.ReLU(), torch.randn(2)), TypeError, "dry_run: example_inputs must be a tuple"),
        ((nn.ReLU(), (torch.randn(2),), "nativ"), ValueError, "no backend is named 'nativ'"),
        ((nn.ReLU(), (torch.randn(2),), 3), TypeError, "backend_config must be a BackendConfig"),
        ((Branches(), (torch.randn(2),)), RuntimeError, "dry_run: torch.export rejects Branches"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        model, inputs, *config = arguments
        qnative.dry_run(model, inputs, backend_config=config[0] if config else None)
    with pytest.raises(ValueError, match="unknown recipe 'int3'"):
        qnative.dry_run(nn.ReLU(), (torch.randn(2),), recipe="int3")


class Statistics(nn.Module):
    """A convolution whose batch norm cannot be folded."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return torch.relu(F.batch_norm(self.conv(x), None, None, training=True))


class Computed(nn.Module):
    """A convolution whose weight another layer computes."""

    def __init__(self):
        super().__init__()
        self.make = nn.Linear(4, 8 * 27)

    def forward(self, x):
        return torch.relu(F.conv2d(x, self.make(x[:, 0, 0, :4]).sum(0).view(8, 3, 3, 3)))


class Residual(nn.Module):
    """A sum with relu, which keeps the convolution a separate op."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + x)


class ReadTwice(nn.Module):
    """A batch norm that is not folded, since the convolution is also an output."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x)
        return torch.relu(self.norm(y)), y


LEAKY = nn.Sequential(nn.Linear(8, 4), nn.LeakyReLU())
OF_THE_BATCH = "it normalizes with the statistics of the batch"


@pytest.mark.parametrize(
    ("model", "config", "patterns", "node", "misses"),
    [
        (
            Statistics(),
            "native",
            {
                "conv2d": "torch.nn.Conv2d",
                "batch_norm": "torch.nn.BatchNorm2d",
                "relu": "torch.nn.ReLU",
            },
            "conv2d",
            [
                f"matched conv2d and {more}, but batch_norm is not fused: {OF_THE_BATCH}"
                for more in ("batch_norm and relu", "batch_norm")
            ],
        ),
        (
            Computed(),
            "native",
            {"conv2d": "torch.nn.Conv2d", "relu": "torch.nn.ReLU"},
            "conv2d",
            ["matched conv2d and relu, but relu is not fused: it runs by itself"],
        ),
        (
            Residual(),
            "native",
            {
                "conv2d": "(torch.nn.Conv2d, torch.nn.BatchNorm2d)",
                "add": "(operator.add, torch.nn.ReLU)",
            },
            "conv2d",
            ["matched conv2d and batch_norm, but no relu follows batch_norm"],
        ),
        (
            ReadTwice(),
            "native",
            {"conv2d": "torch.nn.Conv2d", "batch_norm": "(torch.nn.BatchNorm2d, torch.nn.ReLU)"},
            "conv2d",
            ["matched conv2d, but batch_norm is not fused: conv2d is used by output too"],
        ),
        (
            LEAKY,
            "onednn",
            {"linear": "torch.nn.Linear", "leaky_relu": "torch.nn.LeakyReLU"},
            "linear",
            ["matched linear and leaky_relu, but leaky_relu is not fused: it runs by itself"],
        ),
    ],
)
def test_rows_of_ops_that_run_as_one(model, config, patterns, node, misses):
    rows = rows_of(qnative.dry_run(model, (torch.randn(2, 3, 8, 8),), backend_config=config))
    for name, pattern in patterns.items():
        assert rows[name].pattern == pattern
    assert rows[node].near_misses[: len(misses)] == misses
    parts = [row for row in rows.values() if row.verdict == "fused"]
    assert not any(row.pattern or row.near_misses or row.config_rows for row in parts)
