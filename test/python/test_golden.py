"""Files of every version are read with the same bits: see docs/compatibility.md."""

import json
import runpy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model

import qnative
from qnative.backend_config import BackendConfig
from torch_versions import models

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(path for path in GOLDEN.iterdir() if path.is_dir() and path.name[0].isdigit())
OPS = torch.ops.qnative


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def folder(request):
    return request.param


@pytest.fixture(scope="module")
def writer():
    return runpy.run_path(str(GOLDEN / "write.py"))


def test_this_version_has_files_of_all_kinds():
    assert GOLDEN / qnative.__version__ in VERSIONS
    kinds = [{path.name for path in version.iterdir()} for version in VERSIONS]
    assert all(kind == kinds[0] for kind in kinds) and len(kinds[0]) == 11
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000 * len(VERSIONS)


def test_configs(folder, writer):
    text = (folder / "config.json").read_text()
    assert BackendConfig.from_json(text) == writer["config"]()
    assert BackendConfig.from_json(text).to_json() == text
    script = torch.jit.load(folder / "config.pt")
    assert BackendConfig.from_script_object(script.config) == writer["config"]()
    assert script() == text


def test_packed_weights(folder, writer):
    tensors = torch.load(folder / "packed.data", weights_only=True)
    assert tensors.keys() == {*writer["INT8"], *writer["FLOAT"]}
    for op, (weight, packed) in tensors.items():
        groups = writer["INT8"].get(op, ((), ()))[1]
        assert torch.equal(getattr(OPS, f"{op}_pack")(weight, *groups), packed), op
        unpack = getattr(OPS, f"{op}_unpack")
        if op in writer["INT8"]:
            assert torch.equal(unpack(packed, weight.shape, *groups), weight), op
        elif op == "linear_fp16":
            assert torch.equal(unpack(packed, weight.shape), weight.half()), op
        else:
            columns = weight.shape[1:] if op == "embedding_4bit" else ()
            rows = torch.arange(len(weight))
            assert torch.equal(getattr(OPS, op)(packed, *columns, rows), unpack(packed, *columns))


@pytest.mark.parametrize("name", ["static", "dynamic"])
def test_models(folder, name):
    x, y = torch.load(folder / f"{name}.data", weights_only=True)
    with torch.no_grad():
        assert torch.equal(torch.jit.load(folder / f"{name}.pt")(x), y)
        assert torch.equal(torch.export.load(folder / f"{name}.pt2").module()(x), y)
        program = qnative.Program.load(str(folder / f"{name}.pt2"))
        assert torch.equal(program(x), y)
    assert program.metadata["qnative"] == folder.name


def test_weights_alone(folder):
    x, y = torch.load(folder / "dynamic.data", weights_only=True)
    (other,) = (other for name, *_, other in models() if name == "dynamic")
    with torch.no_grad():
        assert not torch.equal(other(x), y)
        load_model(other, folder / "dynamic.safetensors")
        assert torch.equal(other(x), y)


def test_reports(folder):
    text = (folder / "report.json").read_text()
    report = qnative.Report.from_json(text)
    written = json.loads(report.to_json())
    assert {key: written[key] for key in json.loads(text)} == json.loads(text)
    assert report.count("quantized") > 3 and report.outputs[0].sqnr > 20
    saved = qnative.Program.load(str(folder / "static.pt2")).metadata["report"]
    assert saved == json.loads(text)
