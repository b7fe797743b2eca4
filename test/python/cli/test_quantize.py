"""python -m qnative quantize"""

import pytest
import torch

import qnative
from qnative.__main__ import main
from qnative.cli.parser import RECIPES
from qnative.plan import modes
from support.checks import sqnr


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.last = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 4)

    def forward(self, x, shift):
        return self.last(torch.relu(self.conv(x)).mean((2, 3))) + shift


def export(tmp_path, model, args, **options):
    torch.export.save(torch.export.export(model, args, **options), tmp_path / "model.pt2")
    return str(tmp_path / "model.pt2")


@pytest.fixture
def run(tmp_path):
    """Runs the command on a file, with data; the exit status."""

    def quantize(file, data=None, *options):
        options = [*options, "-o", str(tmp_path / "q.pt2")]
        if data is not None:
            torch.save(data, tmp_path / "x.pt")
            options += ["--data", str(tmp_path / "x.pt")]
        return main(["quantize", str(file), *options])

    return quantize


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def batches():
    torch.manual_seed(1)
    return [(torch.randn(4, 3, 9, 9), torch.randn(4)) for _ in range(8)]


def test_recipes():
    assert tuple(modes.RECIPES) == RECIPES


def test_open_sizes_stay_open(tmp_path, capsys, run, model, batches):
    auto = torch.export.Dim.AUTO
    file = export(tmp_path, model, batches[0], dynamic_shapes=({0: auto, 2: auto}, None))
    assert run(file, batches) == 0
    shown = capsys.readouterr()
    assert "qnative.conv2d" in shown.out and "0 float" in shown.out and shown.err == ""
    assert f"{tmp_path / 'q.pt2'}: " in shown.out
    program = qnative.Program.load(str(tmp_path / "q.pt2"))
    x = (torch.randn(7, 3, 13, 9), torch.randn(4))
    assert sqnr(program(*x), model(*x)) > 25
    with pytest.raises(ValueError):
        program(torch.randn(7, 3, 9, 11), x[1])


def test_a_batch_of_one_as_example(tmp_path, run, batches):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()
    images = [x[:1] for x, _ in batches]
    shapes = ({0: torch.export.Dim.AUTO},)
    file = export(tmp_path, model, (batches[0][0],), dynamic_shapes=shapes)
    assert run(file, images) == 0
    assert qnative.Program.load(str(tmp_path / "q.pt2"))(torch.randn(5, 3, 9, 9)).shape[0] == 5


@pytest.mark.parametrize("size", [1, 4])
def test_samples_in_one_tensor(tmp_path, run, size):
    """The model takes batches of a fixed size; 5 samples do not fill the last one."""
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU()).eval()
    file = export(tmp_path, model, (torch.randn(size, 6),))
    assert run(file, torch.randn(13, 6)) == 0
    x = torch.randn(size, 6)
    assert sqnr(qnative.Program.load(str(tmp_path / "q.pt2"))(x), model(x)) > 25


def test_without_data(tmp_path, capsys, run):
    file = export(tmp_path, torch.nn.Linear(6, 5).eval(), (torch.randn(3, 6),))
    assert run(file, None, "--recipe", "dynamic") == 0
    assert "qnative.linear_dynamic" in capsys.readouterr().out
    assert run(file) == 1
    assert "recipe 'static' needs calibration data" in capsys.readouterr().err


def test_strict_writes_nothing(tmp_path, capsys, run):
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Softplus()).eval()
    file = export(tmp_path, model, (torch.randn(3, 6),))
    assert run(file, torch.randn(32, 6), "--strict", "--backend", "native") == 1
    assert "strict=True" in capsys.readouterr().err and not (tmp_path / "q.pt2").exists()


def test_what_cannot_be_quantized(tmp_path, capsys, run):
    linear = torch.nn.Linear(6, 5).eval()
    x = torch.randn(3, 6)
    file = export(tmp_path, linear, (x,))
    assert run(file, x, "--backend", "none") == 1
    assert "no backend is named 'none'" in capsys.readouterr().err
    for data, message in (
        (torch.tensor(1.0), "x.pt has a tensor of []: no samples"),
        ([], "must hold a tensor or a list of batches, has none"),
        ("text", "has str"),
        ([torch.randn(3, 7)], "qnative"),
    ):
        assert run(file, data) == 1
        assert message in capsys.readouterr().err
    assert run(file, x) == 0
    assert main(["quantize", str(tmp_path / "q.pt2"), "-o", str(tmp_path / "r.pt2")]) == 1
    assert "q.pt2 is quantized already" in capsys.readouterr().err
    torch.jit.save(torch.jit.trace(linear, x), tmp_path / "t.pt")
    assert run(tmp_path / "t.pt", x) == 1
    assert "is a TorchScript file" in capsys.readouterr().err
    file = export(tmp_path, linear, (), kwargs={"input": x})
    assert run(file, x) == 1
    assert "with keyword arguments (input)" in capsys.readouterr().err
