"""The ops that a config names, and BackendConfig.validate."""

import copy
import io
import pickle

import pytest
import torch

from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    default_op_fp16_dtype_config,
    default_op_quint8_dtype_config,
    get_native_backend_config,
)


def row(pattern="reshape", *ops: str) -> BackendPatternConfig:
    return (
        BackendPatternConfig(pattern).add_dtype_config(default_op_quint8_dtype_config).set_ops(*ops)
    )


def test_one_op_for_all_dtype_configs_or_one_for_each():
    config = row()
    assert config.ops == () and config.op() == ""
    config.ops = ["linear"]
    assert config.ops == ("linear",) and config.op(0) == config.op(7) == "linear"
    assert config.set_ops("a", "b") is config
    assert (config.op(0), config.op(1), config.op(2)) == ("a", "b", "")


@pytest.mark.parametrize("index", [-1, -(2**40)])
def test_a_negative_index_is_an_error(index):
    with pytest.raises(IndexError, match="index is negative"):
        row().op(index)


def test_ops_must_be_names():
    with pytest.raises(TypeError, match=r"ops\[1\] should be a str, got 3"):
        row().set_ops("a", 3)


def test_ops_are_kept_by_copies_pickles_and_script_modules():
    backend = BackendConfig("b").set_backend_pattern_config(row("reshape", "free"))
    module = torch.nn.Module()
    module.config = backend.script_object
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(module), file)
    file.seek(0)
    loaded = BackendConfig.from_script_object(torch.jit.load(file).config)
    for other in (copy.copy(backend), copy.deepcopy(backend), pickle.loads(pickle.dumps(backend))):
        assert other.configs[0].ops == ("free",)
    assert loaded.configs[0].ops == ("free",)


def test_dicts_have_ops_only_if_asked():
    config = row("reshape", "free", "linear_fp16")
    assert "ops" not in config.to_dict()
    items = config.to_dict(with_ops=True)
    assert items["ops"] == ["free", "linear_fp16"]
    assert BackendPatternConfig.from_dict(items).ops == config.ops
    assert BackendPatternConfig.from_dict(config.to_dict()) == config
    backend = BackendConfig("b").set_backend_pattern_config(config)
    assert BackendConfig.from_dict(backend.to_dict(with_ops=True)).configs[0].ops == config.ops
    assert "ops" not in backend.to_dict()["configs"][0]


def test_upstream_has_no_ops():
    pytest.importorskip("torch.ao.quantization.backend_config")
    native = get_native_backend_config()
    again = BackendConfig.from_torch(native.to_torch())
    assert again == native
    assert all(config.ops == () for config in again.configs)
    assert {missing.reason for missing in again.validate()} >= {"it names no op"}


def test_validate_says_what_cannot_run():
    backend = BackendConfig("mine").set_backend_pattern_configs(
        [
            row("reshape", "free"),
            row(torch.nn.Linear, "linear").add_dtype_config(default_op_fp16_dtype_config),
            row(torch.cat),
            row(torch.add, "no_such_op"),
            row("hardsigmoid", "lookup"),
        ]
    )
    missing = backend.validate()
    assert [(m.config.pattern, m.dtype_config, m.op, m.reason) for m in missing] == [
        (torch.cat, 0, "", "it names no op"),
        (
            torch.add,
            0,
            "no_such_op",
            "there is no op qnative::no_such_op with a CPU kernel",
        ),
        (
            "hardsigmoid",
            0,
            "lookup",
            "it cannot occur: torch.Tensor has no method hardsigmoid",
        ),
    ]


def test_impossible_rows_have_no_module():
    missing = [m for m in get_native_backend_config().validate() if "cannot occur" in m.reason]
    assert [m.config.pattern for m in missing] == ["hardsigmoid", "hardsigmoid_"]
    assert not any(hasattr(torch.Tensor, m.config.pattern) for m in missing)
