"""Models that qnative.migrate cannot move, and invalid files."""

import os
import random
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import qnative
from support.quantized_models import (
    Branches,
    Recurrent,
    Stage,
    Stuck,
    dynamic_model,
    old_kinds,
    quiet,
    saved,
)


@pytest.fixture(scope="module")
def stuck():
    return quiet(torch.jit.script, Stuck().eval())


def test_kept_nodes_are_listed_and_nothing_is_written(tmp_path, stuck):
    file, new = saved(stuck, tmp_path / "old.pt"), tmp_path / "new.pt"
    before = Path(file).read_bytes()
    with pytest.raises(qnative.MigrationError) as caught:
        qnative.migrate(file, new)
    message = str(caught.value)
    assert file in message
    assert "aten::quantize_per_tensor" in message and "argument scale is computed" in message
    assert ":" in caught.value.migration.kept[0].source
    assert os.listdir(tmp_path) == ["old.pt"]
    assert Path(file).read_bytes() == before


def test_partial(tmp_path, stuck):
    x = torch.randn(3, 4)
    new = tmp_path / "new.pt"
    result = qnative.migrate(stuck, new, allow_partial=True, example_inputs=(x, 0.2))
    assert not result.complete
    assert {row.verdict for row in result.rows} == {"moved", "kept"}
    loaded = torch.jit.load(new)
    assert old_kinds(loaded) == {"aten::quantize_per_tensor", "aten::dequantize"}
    # One step: torch's quantize rounds ties differently.
    assert result.max_difference <= 0.1001
    assert torch.equal(loaded(x, 0.2), result.module(x, 0.2))


def test_partial_migration_keeps_unknown_nodes_quantized():
    class Rare(nn.Module):
        def forward(self, x):
            y = torch.quantize_per_tensor(x, 0.1, 128, torch.quint8)
            return torch.max(y), torch.relu(y).dequantize()

    script = quiet(torch.jit.script, Rare().eval())
    with pytest.raises(qnative.MigrationError, match=r"aten::max .*no counterpart"):
        qnative.migrate(script)
    result = qnative.migrate(script, allow_partial=True)
    x = torch.randn(3, 4)
    assert torch.equal(quiet(result.module, x)[0].dequantize(), quiet(script, x)[0].dequantize())


def test_quantized_inputs_and_outputs():
    class Inner(nn.Module):
        def forward(self, x):
            return torch.ops.quantized.add_relu(x, x, 0.1, 3)

    class Outer(nn.Module):
        def forward(self, x):
            return torch.quantize_per_tensor(x, 0.1, 3, torch.quint8)

    with pytest.raises(qnative.MigrationError, match="argument qa is given to the model"):
        qnative.migrate(quiet(torch.jit.script, Inner().eval()))
    with pytest.raises(qnative.MigrationError, match="returns a quantized tensor"):
        qnative.migrate(quiet(torch.jit.script, Outer().eval()))


def test_branches_and_loops():
    script = quiet(torch.jit.script, Branches(0.2).eval())
    result = qnative.migrate(script)
    assert result.complete and old_kinds(result.module) == set()
    x = (torch.randn(3, 5) * 20).round() * 0.1
    for flag in (True, False):
        for n in (0, 1, 3):
            wanted, got = quiet(script, x, flag, n), result.module(x, flag, n)
            # A tie may round differently before the sum is doubled n times.
            assert (wanted - got).abs().max() <= 0.2001 * 2**n


def test_branches_of_different_scale():
    script = quiet(torch.jit.script, Branches(0.3).eval())
    with pytest.raises(RuntimeError, match="its branches end in values of different scale"):
        qnative.migrate(script)


def test_submodules_are_inlined():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stage = Stage()

        def forward(self, x):
            return torch.ops.quantized.add(self.stage(x), self.stage(x + 1), 0.2, 9).dequantize()

    result = qnative.migrate(quiet(torch.jit.script, Net().eval()))
    assert [row.kernel for row in result.rows if row.op == "quantized::add"] == ["qnative::add"]


def test_asymmetric_weight():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            weight = quiet(torch.quantize_per_tensor, torch.randn(4, 8), 0.02, 5, torch.qint8)
            self.packed = torch.ops.quantized.linear_prepack(weight, None)

        def forward(self, x):
            y = torch.quantize_per_tensor(x, 0.1, 128, torch.quint8)
            return torch.ops.quantized.linear(y, self.packed, 0.1, 3).dequantize()

    script = quiet(torch.jit.trace, Net().eval(), torch.randn(2, 8))
    with pytest.raises(qnative.MigrationError, match="not symmetric: a zero point is not 0"):
        qnative.migrate(script)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(100)])
def test_file_of_another_kind(tmp_path, content):
    file = tmp_path / "old.pt"
    file.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"old\.pt cannot be read as a TorchScript file"):
        qnative.migrate(file, tmp_path / "new.pt")
    assert os.listdir(tmp_path) == ["old.pt"]


def test_missing_file(tmp_path):
    with pytest.raises(RuntimeError, match=r"there is no file .*old\.pt"):
        qnative.migrate(tmp_path / "old.pt")


def test_state_dict_is_not_torchscript(tmp_path):
    file = tmp_path / "state.pt"
    torch.save({"weight": torch.randn(3)}, file)
    with pytest.raises(RuntimeError, match=r"state\.pt cannot be read as a TorchScript file"):
        qnative.migrate(file)


def test_damaged_files(tmp_path):
    model = quiet(dynamic_model, Recurrent(bag=False).eval())
    content = saved(quiet(torch.jit.script, model))
    file = tmp_path / "old.pt"
    for part in range(1, 12):
        file.write_bytes(content[: len(content) * part // 12])
        with pytest.raises(RuntimeError, match=r"old\.pt cannot be read"):
            qnative.migrate(file, tmp_path / "new.pt")
    assert os.listdir(tmp_path) == ["old.pt"]


def test_changed_bytes(tmp_path):
    """In the archive, pickles, code or weights. Only changed weights go unnoticed."""
    model = quiet(dynamic_model, Recurrent(bag=False).eval())
    content = saved(quiet(torch.jit.script, model))
    file, new = tmp_path / "old.pt", tmp_path / "new.pt"
    generator = random.Random(0)
    refused = 0
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(generator.choice((1, 3, 10))):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        file.write_bytes(changed)
        try:
            quiet(qnative.migrate, file, new)
        except RuntimeError as error:
            refused += 1
            assert re.search(r"(old|new)\.pt", str(error)), error
        assert file.read_bytes() == changed
        assert set(os.listdir(tmp_path)) <= {"old.pt", "new.pt"}
    assert refused > 10


def test_unknown_class(tmp_path, stuck):
    content = saved(quiet(torch.jit.script, quiet(dynamic_model, Recurrent(bag=False).eval())))
    file = tmp_path / "old.pt"
    # Code and pickles are stored uncompressed; sizes stay equal, checksums are not verified.
    file.write_bytes(content.replace(b"LinearPackedParamsBase", b"LinearPackedParamsBose"))
    with pytest.raises(RuntimeError, match=r"old\.pt cannot be read"):
        qnative.migrate(file)


def test_unwritable_output(tmp_path):
    script = quiet(torch.jit.script, Branches(0.2).eval())
    with pytest.raises(RuntimeError, match=r"none/new\.pt cannot be written"):
        qnative.migrate(script, tmp_path / "none" / "new.pt")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RuntimeError, match=r"folder cannot be written"):
        qnative.migrate(script, tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_other_files_keep_what_is_in_them(tmp_path):
    """Whatever their names: the file written first has a unique name."""
    script = quiet(torch.jit.script, Branches(0.2).eval())
    file, new = saved(script, tmp_path / "new.pt.0.part"), tmp_path / "new.pt"
    before = Path(file).read_bytes()
    qnative.migrate(file, new)
    assert Path(file).read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["new.pt", "new.pt.0.part"]


def test_output_may_be_the_input(tmp_path):
    file = saved(quiet(torch.jit.script, Branches(0.2).eval()), tmp_path / "model.pt")
    qnative.migrate(file, file)
    assert old_kinds(torch.jit.load(file)) == set()


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
def test_a_layer_that_nothing_calls(layer):
    """torch scripts the overloads of forward, not forward itself."""
    script = quiet(torch.jit.script, layer(4, 3).eval())
    assert [row.verdict for row in qnative.migrate(script, dynamic=True).rows] == ["moved"] * 2
    with pytest.raises(
        RuntimeError, match=r"no method forward, only forward__0, .*holds the layer"
    ):
        qnative.migrate(script, dynamic=True, example_inputs=(torch.randn(5, 2, 4),))


def test_inputs_that_the_model_rejects():
    script = quiet(torch.jit.script, Branches(0.2).eval())
    with pytest.raises(RuntimeError, match="forward"):
        qnative.migrate(script, example_inputs=(torch.randn(3),))
