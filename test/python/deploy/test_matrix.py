"""Every front end in every deployment gives the bits of eager mode, for other sizes than those of
the example. Impossible combinations are cells too, with a reason."""

import copy
import subprocess

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from torch.ao import quantization as ao
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

import qnative
from examples import deploy

pytestmark = pytest.mark.filterwarnings("ignore")  # torch deprecates eager mode, FX and TorchScript

AUTO = torch.export.Dim.AUTO
OPEN = {0: AUTO, 1: AUTO}


class Tokens(nn.Module):
    """Any batch and length; one output per token."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
        self.first, self.last = nn.Linear(12, 16), nn.Linear(16, 5)

    def forward(self, x):
        return self.dequant(self.last(F.relu(self.first(self.quant(x)))))


class Blocks(nn.Module):
    """Values of 16 bits between the layers: sums in front of norms, and what they are made of."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 5)
        self.before, self.after = nn.LayerNorm(16), nn.RMSNorm(16)
        self.gamma, self.token = nn.Parameter(torch.rand(16)), nn.Parameter(torch.randn(16))

    def forward(self, x):
        x = self.before(self.first(x) + self.token)
        x = x + self.gamma * self.middle(F.relu(x))
        return self.last(self.after(x))


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.fc = nn.LSTM(12, 8, batch_first=True, bidirectional=True), nn.Linear(16, 3)

    def forward(self, x):
        return self.fc(self.rnn(x)[0])


def rows(batch, length):
    g = torch.Generator().manual_seed(100 * batch + length)
    return torch.randn(batch, length, 12, generator=g)


EXAMPLE, CALIBRATION = rows(3, 4), rows(32, 16)
OTHERS = [rows(1, 1), rows(5, 9), rows(0, 2)]


def static():
    return qnative.quantize(Tokens().eval(), (EXAMPLE,), [CALIBRATION], dynamic_shapes=(OPEN,))


def int16():
    model = qnative.quantize(
        Blocks().eval(), (EXAMPLE,), [CALIBRATION], dynamic_shapes=(OPEN,), strict=True
    )
    words = [row.op for row in model.report.rows if "int16" in row.reason]
    assert set(words) == {"aten.linear", "aten.add.Tensor", "aten.mul.Tensor", "aten.layer_norm"}
    return model


def pt2e():
    module = torch.export.export(Tokens().eval(), (EXAMPLE,), dynamic_shapes=(OPEN,)).module()
    prepared = prepare_pt2e(module, qnative.Quantizer())
    prepared(CALIBRATION)
    return qnative.lower(convert_pt2e(prepared))


def dynamic():
    return qnative.quantize(
        Tokens().eval(), (EXAMPLE,), recipe="dynamic", dynamic_shapes=(OPEN,), strict=True
    )


def fx():
    from qnative.fx import convert_fx, prepare_fx

    prepared = prepare_fx(Tokens().eval(), None, (EXAMPLE,))
    prepared(CALIBRATION)
    return convert_fx(prepared, dynamic_shapes=(OPEN,))


def eager_static():
    model = Tokens().eval()
    model.qconfig = ao.get_default_qconfig("x86")
    prepared = ao.prepare(model)
    prepared(CALIBRATION)
    return qnative.convert(prepared, (EXAMPLE,), dynamic_shapes=(OPEN,))


def eager_dynamic():
    return qnative.quantize_dynamic(Text())


FRONT_ENDS = (static, int16, pt2e, dynamic, fx, eager_static, eager_dynamic)


class All(nn.Module):
    """All front ends as one program: AOTInductor needs half a minute for each."""

    def __init__(self, models):
        super().__init__()
        self.models = nn.ModuleList(models.values())

    def forward(self, x):
        return tuple(model(x) for model in self.models)


@pytest.fixture(scope="module")
def models():
    result = {}
    for make in FRONT_ENDS:
        torch.manual_seed(0)
        result[make.__name__] = make()
    return result


@pytest.fixture(scope="module")
def package(models, tmp_path_factory):
    path = tmp_path_factory.mktemp("aoti") / "all.aoti.pt2"
    deploy.save_package(All(models), (EXAMPLE,), (OPEN,), path)
    return path


@pytest.fixture(scope="module")
def outputs_of_the_library_alone(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    deploy.save_exported(All(models), (EXAMPLE,), (OPEN,), folder / "all.pt2")
    return deploy.run_with_the_library_alone(folder / "all.pt2", (OTHERS[1],), folder)


def index_of(name):
    return [make.__name__ for make in FRONT_ENDS].index(name)


def eager(model, name, folder, request):
    return model


def trace(model, name, folder, request):
    deploy.save_torchscript(model, (EXAMPLE,), folder / "model.pt")
    return torch.jit.load(folder / "model.pt")


def script(model, name, folder, request):
    torch.jit.save(torch.jit.script(model), folder / "model.pt")
    return torch.jit.load(folder / "model.pt")


def exported(model, name, folder, request):
    deploy.save_exported(model, (EXAMPLE,), (OPEN,), folder / "model.pt2")
    return torch.export.load(folder / "model.pt2").module()


def as_program(model, name, folder, request):
    deploy.save_exported(model, (EXAMPLE,), (OPEN,), folder / "model.pt2")
    return qnative.Program.load(folder / "model.pt2")


def library_alone(model, name, folder, request):
    outputs = request.getfixturevalue("outputs_of_the_library_alone")
    return lambda x: outputs[index_of(name)]


def compiled(model, name, folder, request):
    torch._dynamo.reset()
    return torch.compile(model, dynamic=True, fullgraph=True)


def aoti(model, name, folder, request):
    package = torch._inductor.aoti_load_package(str(request.getfixturevalue("package")))
    return lambda x: package(x)[index_of(name)]


DEPLOYMENTS = (eager, trace, script, exported, as_program, library_alone, compiled, aoti)
# Reasons of impossible cells.
NO_SCRIPT = "TorchScript compiles no GraphModule of torch.export: trace it"
SIZES = {library_alone: OTHERS[1:2]}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=lambda f: f.__name__)
def test_cell(front_end, deployment, models, tmp_path, request):
    name = front_end.__name__
    model = models[name]
    if deployment is script and front_end is not eager_dynamic:
        assert isinstance(model, torch.fx.GraphModule), NO_SCRIPT
        with pytest.raises((RuntimeError, torch.jit.frontend.NotSupportedError)):
            torch.jit.script(model)
        return
    with torch.inference_mode():
        deployed = deployment(model, name, tmp_path, request)
        for x in SIZES.get(deployment, OTHERS):
            y = deployed(x)
            assert y.shape[:2] == x.shape[:2] and torch.equal(y, model(x))


def test_all_front_ends_agree_on_the_same_model(models):
    """They differ only by their quantization."""
    torch.manual_seed(0)
    want = Tokens().eval()(OTHERS[1])
    for name in ("static", "pt2e", "dynamic", "fx", "eager_static"):
        error = (models[name](OTHERS[1]) - want).norm() / want.norm()
        assert error < 0.1, name


@pytest.fixture
def program(cpp_programs):
    return cpp_programs / "run"


def test_cpp_program_runs_the_package(package, models, run_in_cpp):
    for x in OTHERS[:2]:
        outputs = run_in_cpp(package, x)
        for model, y in zip(models.values(), outputs, strict=True):
            assert torch.equal(y, model(x))


def test_cpp_program_runs_programs(models, run_in_cpp, tmp_path):
    deploy.save_exported(All(models), (EXAMPLE,), (OPEN,), tmp_path / "all.pt2")
    for x in OTHERS:
        outputs = run_in_cpp(tmp_path / "all.pt2", x)
        for model, y in zip(models.values(), outputs, strict=True):
            assert torch.equal(y, model(x))


def test_cpp_program_runs_scripts(models, run_in_cpp, tmp_path):
    model = models["eager_dynamic"]
    torch.jit.save(torch.jit.script(model), tmp_path / "model.pt")
    for x in OTHERS:
        (y,) = run_in_cpp(tmp_path / "model.pt", x)
        assert torch.equal(y, model(x))


def test_cpp_program_names_the_error(program, tmp_path):
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 2 and "3 arguments wanted, 0 found" in done.stderr
    arguments = [program, tmp_path / "model.pt", tmp_path / "missing", tmp_path / "y.pt"]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 1 and "missing: cannot open" in done.stderr


def test_safetensors(tmp_path):
    model = deploy.quantized_classifier()
    x = torch.randint(0, 100, (2, 7))
    deploy.save_weights(model, tmp_path / "model.safetensors")
    other = deploy.quantized_classifier(seed=1)
    assert not torch.equal(other(x), model(x))
    deploy.load_weights(other, tmp_path / "model.safetensors")
    assert torch.equal(other(x), model(x))


def test_safetensors_of_a_graph(models, tmp_path):
    model = models["static"]
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = copy.deepcopy(model)
    for value in other.state_dict().values():
        value.fill_(1)
    assert not torch.equal(other(EXAMPLE), model(EXAMPLE))
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(other(EXAMPLE), model(EXAMPLE))


def test_the_example_runs(tmp_path, capsys):
    deploy.main(["--output", str(tmp_path), "--no-compiler"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.endswith("the same bits") for line in lines)
