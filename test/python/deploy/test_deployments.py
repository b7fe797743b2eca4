"""A quantized model in every deployment gives the bits that it gives in eager mode."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from examples import deploy


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.norm, self.fc = nn.BatchNorm2d(16), nn.Linear(16, 6)

    def forward(self, x):
        y = F.relu6(self.norm(self.first(x)))
        y = F.relu(y + F.hardswish(self.second(y)))
        y = torch.cat([F.max_pool2d(y, 2), F.avg_pool2d(y, 2)], 1)[:, :16]
        return self.fc(y.mean((2, 3)).view(x.size(0), -1))


def image(batch):
    return torch.randn(batch, 3, 20, 18, generator=torch.Generator().manual_seed(batch))


@pytest.fixture(scope="module")
def quantized():
    torch.manual_seed(0)
    model = Residual().eval()
    return qnative.quantize(model, (image(4),), [image(batch) for batch in (4, 5, 6)])


def check(deployed, quantized):
    with torch.inference_mode():
        for batch in (4, 1, 7, 0):
            assert torch.equal(deployed(image(batch)), quantized(image(batch)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("prepare", [lambda m: m, torch.jit.freeze], ids=["plain", "frozen"])
def test_torchscript(quantized, tmp_path, prepare):
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = prepare(torch.jit.trace(quantized, image(1)).eval())
    torch.jit.save(traced, tmp_path / "model.pt")
    check(torch.jit.load(tmp_path / "model.pt"), quantized)


def test_export(quantized, tmp_path):
    shapes = ({0: torch.export.Dim.AUTO},)
    program = torch.export.export(quantized, (image(4),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    check(torch.export.load(tmp_path / "model.pt2").module(), quantized)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compile(quantized, backend):
    compiled = torch.compile(quantized, backend=backend, dynamic=True, fullgraph=True)
    with torch.inference_mode():
        for batch in (4, 7):
            assert torch.equal(compiled(image(batch)), quantized(image(batch)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["pt", "pt2"])
def test_process_with_the_library_alone(quantized, tmp_path, kind):
    file = tmp_path / f"model.{kind}"
    if kind == "pt2":
        deploy.save_exported(quantized, (image(4),), ({0: torch.export.Dim.AUTO},), file)
    else:
        deploy.save_torchscript(quantized, (image(1),), file)
    y = deploy.run_with_the_library_alone(file, (image(7),), tmp_path)
    with torch.inference_mode():
        assert torch.equal(y, quantized(image(7)))


def test_state_dict_and_pickle(quantized, tmp_path):
    torch.save(quantized.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = torch.fx.GraphModule(quantized, quantized.graph)
    other.load_state_dict(state)
    check(other, quantized)
