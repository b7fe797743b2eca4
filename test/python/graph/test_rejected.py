"""Models that torch.export rejects: the error has the line of the user's code, the module, and what
helps."""

import numpy as np
import pytest
import torch
from torch import nn

import qnative

AUTO, DYNAMIC = torch.export.Dim.AUTO, torch.export.Dim.DYNAMIC


class Part(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(6, 6), function

    def forward(self, x):
        return self.function(self.layer, x)


def branch(layer, x):
    y = layer(x)
    return y if y.sum() > 0 else -y


def number(layer, x):
    count = int(x.abs().max())
    return layer(x)[:, :count]


def rows(layer, x):
    found = []
    for row in x:
        if row.sum() > 0:
            found.append(layer(row))
    return torch.stack(found)


def selected(layer, x):
    y = x[x > 0]
    if y.shape[0] > 3:
        y = y * 2
    return y


def listed(layer, x):
    positive = [v for v in x.tolist()[0] if v > 0]
    return layer(x) * len(positive)


def to_numpy(layer, x):
    return layer(x) * torch.from_numpy(np.tanh(x.numpy()))


def as_array(layer, x):
    values = np.asarray(x.detach())
    return layer(x) + torch.tensor(values.mean())


def reads_a_file(layer, x):
    return layer(x) * len(open("/no/such/file").read())


COURSE, NUMPY = "torch.where", "use torch's functions, and make constants in __init__"
CASES = {
    branch: ("return y if y.sum() > 0 else -y", COURSE),
    number: ("count = int(x.abs().max())", COURSE),
    rows: ("if row.sum() > 0:", COURSE),
    selected: ("if y.shape[0] > 3:", COURSE),
    listed: ("positive = [v for v in x.tolist()[0] if v > 0]", COURSE),
    to_numpy: ("return layer(x) * torch.from_numpy(np.tanh(x.numpy()))", NUMPY),
    as_array: ("values = np.asarray(x.detach())", NUMPY),
    reads_a_file: ('return layer(x) * len(open("/no/such/file").read())', "No such file"),
}


@pytest.mark.parametrize("sizes", ["batch", "all", None])
@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_line_module_and_remedy(function, sizes):
    model = nn.Sequential(nn.Linear(6, 6), Part(function)).eval()
    with pytest.raises(RuntimeError) as error:
        qnative.quantize(model, (torch.ones(2, 6),), recipe="dynamic", dynamic_shapes=sizes)
    line, remedy = CASES[function]
    first, where, *others = str(error.value).splitlines()
    assert first.startswith("qnative.quantize: torch.export rejects Sequential: ")
    assert where.startswith("in module '1', at test/python/graph/test_rejected.py:")
    assert where.rstrip(":").endswith(f": {line.rstrip(':')}")
    assert remedy in str(error.value)
    assert any(other.startswith("to leave '1' out: quantize the modules") for other in others)
    assert error.value.__cause__ is not None


def test_every_front_end_says_it():
    model, x = Part(branch).eval(), torch.ones(2, 6)
    line = r"test/python/graph/test_rejected\.py:\d+: return y if y\.sum\(\) > 0 else -y"
    with pytest.raises(RuntimeError, match=rf"dry_run: torch\.export rejects Part: .*\nat {line}"):
        qnative.dry_run(model, (x,))
    model.qconfig = torch.ao.quantization.get_default_qconfig("x86")
    prepared = torch.ao.quantization.prepare(model)
    prepared(x)
    with pytest.raises(RuntimeError, match=rf"convert: torch\.export rejects Part: .*\nat {line}"):
        qnative.convert(prepared, (x,))


def test_what_helps_works():
    def chosen(layer, x):
        y = layer(x)
        return torch.where(y.sum() > 0, y, -y)

    x = torch.randn(2, 6)
    qnative.quantize(Part(chosen).eval(), (x,), recipe="dynamic")
    left_out = nn.Sequential(nn.Linear(6, 6), Part(branch)).eval()
    left_out[0] = qnative.quantize(left_out[0], (x,), recipe="dynamic")
    assert left_out(x).shape == (2, 6)
    assert qnative.quantize_dynamic(Part(branch).eval())(x).shape == (2, 6)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            ({0: DYNAMIC, 1: DYNAMIC},),
            r"do not name in dynamic_shapes: dimension 1 of x, which test/.*layer\(x\).* fixes",
        ),
        ({"y": {0: AUTO}}, "name the arguments of forward in dynamic_shapes"),
    ],
)
def test_dynamic_shapes(shapes, message):
    model = Part(lambda layer, x: layer(x)).eval()
    with pytest.raises(RuntimeError, match=message):
        qnative.quantize(model, (torch.ones(2, 6),), recipe="dynamic", dynamic_shapes=shapes)
    result = qnative.quantize(model, (torch.ones(2, 6),), recipe="dynamic", dynamic_shapes="all")
    assert [size.open for size in result.report.sizes] == [True, False]


class Unknown:
    def __init__(self, y):
        self.y = y


def test_an_output_of_an_unknown_class():
    model = Part(lambda layer, x: Unknown(layer(x))).eval()
    with pytest.raises(RuntimeError, match=r"register it by torch\.export\.register_dataclass"):
        qnative.quantize(model, (torch.ones(2, 6),), recipe="dynamic")


def test_a_missing_argument():
    with pytest.raises(RuntimeError, match="a value for each argument without a default"):
        qnative.quantize(nn.Bilinear(2, 2, 2), (torch.ones(2, 2),), recipe="dynamic")
