"""qnative.save, profiles, planned memory, and the commands run and bench."""

import json
import subprocess
import sys
import zipfile

import pytest
import torch
from torch import nn
from torch.export import Dim

import qnative
from qnative.__main__ import main
from qnative._info import kernel_isas
from support.programs import run_threads


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.Flatten()
    )
    x = torch.randn(2, 3, 8, 8)
    return qnative.quantize(net.eval(), (x,), [(x,)], recipe="static")


X = torch.randn(4, 3, 8, 8)
OPEN = ({0: Dim.DYNAMIC},)


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / "model.pt2"
    qnative.save(model, path, (X,), dynamic_shapes=OPEN, metadata={"calibration": "abc"})
    return str(path)


def test_saved_files(model, file, tmp_path):
    torch.export.save(torch.export.export(model, (X,), dynamic_shapes=OPEN), tmp_path / "torch.pt2")
    with zipfile.ZipFile(file) as ours, zipfile.ZipFile(tmp_path / "torch.pt2") as theirs:
        sizes = [sum(i.file_size for i in z.infolist()) for z in (ours, theirs)]
        (samples,) = (i for i in ours.infolist() if "sample_inputs" in i.filename)
    assert samples.file_size == 0 and sizes[0] < sizes[1]
    with torch.no_grad():
        expected = model(X)
        assert torch.equal(qnative.Program.load(file)(X), expected)
        assert torch.equal(torch.export.load(file).module()(X), expected)
    metadata = qnative.Program.load(file).metadata
    assert metadata["calibration"] == "abc" and metadata["torch"] == torch.__version__
    assert len(metadata["report"]["rows"]) == len(model.report.rows)
    assert metadata["report"] == json.loads(model.report.to_json())  # the error of each output too
    assert qnative.Program.load(tmp_path / "torch.pt2").metadata == {}


class Reporting(nn.ReLU):
    report = "a user's own"


def test_a_report_that_is_not_of_qnative_is_left_out(tmp_path):
    qnative.save(Reporting(), tmp_path / "a.pt2", (X,))
    assert "report" not in qnative.Program.load(tmp_path / "a.pt2").metadata


def test_saving_an_exported_program(tmp_path):
    exported = torch.export.export(nn.ReLU(), (X,))
    origins = [node.meta.get("nn_module_stack") for node in exported.graph.nodes]
    for keep_origins in (False, True):
        assert qnative.save(exported, tmp_path / "a.pt2", keep_origins=keep_origins) is exported
        assert torch.equal(qnative.Program.load(tmp_path / "a.pt2")(X), X.relu())
    assert [node.meta.get("nn_module_stack") for node in exported.graph.nodes] == origins
    assert exported.example_inputs is not None
    with pytest.raises(ValueError, match="takes no arguments of an export"):
        qnative.save(exported, tmp_path / "b.pt2", (X,))
    with pytest.raises(TypeError, match="not JSON serializable"):
        qnative.save(exported, tmp_path / "b.pt2", metadata={"x": X})
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt2"]


def test_profile(file):
    program = qnative.Program.load(file)
    profile = program.profile(X, rounds=3)
    assert [row[:2] for row in profile] == program.nodes
    assert sum(row.share for row in profile) == pytest.approx(1)
    assert all(row.us > 0 for row in profile)
    conv = next(row for row in profile if row.target == "torch.ops.qnative.conv2d.default")
    assert conv.bytes > 4 * 8 * 8 * 16
    lines = str(profile).splitlines()
    columns = ["node", "op", "us", "share", "bytes", "GB/s", "kernel", "isa", "limit"]
    assert lines[0].split() == columns
    kernels = kernel_isas()
    assert (conv.kernel, conv.isa) == ("gemm", kernels["gemm"])
    assert all(row.isa == kernels.get(row.kernel, "") for row in profile)
    assert all(row.limit > 0 for row in profile)
    assert lines[-1].endswith(f"us in {len(profile)} nodes")


def test_planned_memory(file):
    """One buffer for each call at the same time; outputs are never in it."""
    program = qnative.Program.load(file)
    assert program.memory().weights > 0 and program.memory().arena == 0
    first = program(X)
    kept = [program(X + i) for i in range(4)]
    planned = program.memory().arena
    assert 0 < planned < 100_000
    assert torch.equal(first, program(X))
    for i, y in enumerate(kept):
        assert torch.equal(y, program(X + i))
    assert program.memory().arena == planned
    program(torch.cat([X] * 8))
    program(torch.cat([X] * 8))
    assert program.memory().arena > planned


def test_more_sizes_than_plans_are_kept(file, model):
    """From threads at once; each finds plans that others have made."""
    program = qnative.Program.load(file)
    batches = [torch.randn(n, 3, 8, 8) for n in range(2, 14)]
    expected = [model(x) for x in batches]

    def check(first):
        for i in range(3 * len(batches)):
            k = (first + i) % len(batches)
            assert torch.equal(program(batches[k]), expected[k])

    run_threads(check, 4)


def test_constants_that_change_are_not_planned():
    """A program that writes its buffers keeps nothing that follows from them."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", torch.full((4,), 0.01))
            weight = torch.randint(-127, 128, (4, 8), dtype=torch.int8)
            self.register_buffer("weight", torch.ops.qnative.linear_pack(weight))

        def forward(self, x):
            y = torch.ops.qnative.linear(
                x, 0.1, 3, self.weight, self.scale, None, [4, 8], 1.0, 0, torch.float32
            )
            self.scale.mul_(2)
            return y

    x = torch.randint(0, 256, (3, 8), dtype=torch.uint8)
    program = qnative.Program(torch.export.export(Net(), (x,)))
    first = program(x)
    assert torch.equal(program(x), 2 * first) and torch.equal(program(x), 4 * first)


def test_warmup(file):
    program = qnative.Program.load(file)
    program.warmup([(4, 3, 8, 8)], [(2, 3, 8, 8)])
    planned = program.memory().arena
    assert planned > 0
    program(X)
    assert program.memory().arena == planned
    with pytest.raises(ValueError, match="wanted Float"):
        program.warmup([(4, 4, 8, 8)])


def test_run(file, tmp_path, capsys):
    torch.save(X, tmp_path / "x.pt")
    arguments = ["run", file, "--inputs", str(tmp_path / "x.pt"), "--output", f"{tmp_path}/y.pt"]
    assert main(arguments) == 0
    expected = qnative.Program.load(file)(X)
    assert torch.equal(torch.load(tmp_path / "y.pt"), expected)
    assert "tensor(" in capsys.readouterr().out
    assert main(["run", file, "--batch", "3", "--output", f"{tmp_path}/y.pt"]) == 0
    assert len(torch.load(tmp_path / "y.pt")) == 3
    assert main(["run", file, "--sizes", "5,3,8,8", "--output", f"{tmp_path}/y.pt"]) == 0
    assert len(torch.load(tmp_path / "y.pt")) == 5
    capsys.readouterr()
    assert main(["run", file, "--sizes", "5,3,8"]) == 1
    assert "input 'input': wanted Float" in capsys.readouterr().err
    assert main(["run", file, "--sizes", "1", "2"]) == 1
    assert "takes 1 tensors, got 2" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "none.pt2")]) == 1


def test_bench(file, capsys):
    options = ["--batch", "2", "--seconds", "0.1", "--callers", "2", "--nodes", "4"]
    assert main(["bench", file, *options, "--threads", str(torch.get_num_threads())]) == 0
    shown = capsys.readouterr().out
    assert "inputs [2, 3, 8, 8]; 2 callers" in shown and "qnative.conv2d.default" in shown
    assert "p99 us" in shown and "planned memory" in shown


def test_describe(file, capsys):
    assert main(["describe", file]) == 0
    shown = capsys.readouterr().out
    assert f"torch: {torch.__version__}" in shown and "calibration: abc" in shown
    assert "report: " in shown


def test_no_page_faults_after_the_first_runs(file):
    """In a process of its own, with outputs that are freed at once."""
    code = f"""
import resource, torch, qnative
torch.set_num_threads(1)
program = qnative.Program.load({file!r})
x = torch.randn(64, 3, 8, 8)
with torch.inference_mode():
    for _ in range(20):
        program(x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        program(x)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # A few belong to Python and to the output, which is torch's.
    assert int(json.loads(done.stdout)) < 100
