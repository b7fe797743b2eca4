"""DTypeWithConstraints and DTypeConfig."""

import dataclasses

import pytest
import torch

from qnative.backend_config import (
    DTypeConfig,
    DTypeWithConstraints,
)
from support.configs import int8


def test_constraints_keep_what_they_are_given():
    values = (torch.quint8, 0, 255.5, 2**-12, 1, 1 / 256, 128)
    constraints = DTypeWithConstraints(*values)
    assert dataclasses.astuple(constraints) == values
    assert isinstance(constraints.quant_min_lower_bound, int)
    assert isinstance(constraints.quant_max_upper_bound, float)
    assert constraints == DTypeWithConstraints(*values)
    assert constraints != DTypeWithConstraints(*values[:-1])
    constraints.quant_max_upper_bound = None
    constraints.dtype = torch.float8_e4m3fn
    assert (constraints.quant_max_upper_bound, constraints.dtype) == (None, torch.float8_e4m3fn)


def test_constraints_print_as_upstream():
    assert repr(DTypeWithConstraints(torch.qint8, quant_min_lower_bound=-128)) == (
        "DTypeWithConstraints(dtype=torch.qint8, quant_min_lower_bound=-128, "
        "quant_max_upper_bound=None, scale_min_lower_bound=None, scale_max_upper_bound=None, "
        "scale_exact_match=None, zero_point_exact_match=None)"
    )
    with pytest.raises(TypeError, match="unhashable"):
        hash(DTypeWithConstraints())


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"dtype": "quint8"}, "dtype should be a torch.dtype or None, got 'quint8'"),
        ({"quant_min_lower_bound": "0"}, "quant_min_lower_bound should be an int, a float or None"),
        ({"scale_exact_match": 1j}, "scale_exact_match should be an int, a float or None"),
        ({"zero_point_exact_match": 0.5}, "zero_point_exact_match should be an int or None"),
    ],
)
def test_constraints_reject(arguments, message):
    with pytest.raises(TypeError, match=message):
        DTypeWithConstraints(**arguments)


@pytest.mark.parametrize("dtype", [torch.quint4x2, torch.bits8, torch.uint16, torch.bfloat16])
def test_every_dtype_comes_back(dtype):
    assert DTypeConfig(dtype, bias_dtype=dtype).input_dtype is dtype
    assert DTypeConfig(dtype, bias_dtype=dtype).bias_dtype is dtype


def test_dtype_config_shares_constraints():
    constraints = DTypeWithConstraints(torch.quint8, 0, 127)
    config = DTypeConfig(constraints, constraints, torch.qint8)
    assert config.input_dtype_with_constraints is constraints
    assert config.output_dtype_with_constraints is constraints
    constraints.dtype = torch.qint8
    assert config.output_dtype is torch.qint8
    assert config.weight_dtype_with_constraints == DTypeWithConstraints(torch.qint8)
    assert config.bias_dtype is None
    with pytest.raises(AttributeError):
        config.input_dtype = torch.quint8


def test_dtype_config_equality():
    assert int8() == int8()
    assert DTypeConfig(is_dynamic=False) != DTypeConfig()
    assert DTypeConfig(DTypeWithConstraints(torch.quint8, 0)) != DTypeConfig(torch.quint8)
    assert DTypeConfig() != 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((3,), "input_dtype should be a torch.dtype or None, got 3"),
        ((None, None, None, DTypeWithConstraints()), "bias_dtype should be a torch.dtype or None"),
        ((None, None, None, None, 1), "is_dynamic should be a bool or None, got 1"),
    ],
)
def test_dtype_config_rejects(arguments, message):
    with pytest.raises(TypeError, match=message):
        DTypeConfig(*arguments)


def test_dtype_config_dict():
    constraints = DTypeWithConstraints(torch.quint8, 0, 127)
    config = DTypeConfig(constraints, bias_dtype=torch.float, is_dynamic=False)
    items = config.to_dict()
    assert list(items) == ["input_dtype", "bias_dtype", "is_dynamic"]
    assert items["input_dtype"] is constraints
    assert DTypeConfig.from_dict(items) == config
    assert DTypeConfig().to_dict() == {}
    assert DTypeConfig.from_dict({"weight_dtype": torch.qint8, "bias_type": torch.float}) == (
        DTypeConfig(weight_dtype=torch.qint8)
    )


@pytest.mark.parametrize("key", ["input_dtype", "output_dtype", "weight_dtype"])
def test_dtype_config_from_dict_rejects(key):
    with pytest.raises(
        ValueError, match=f"^Expected {key} to be a torch.dtype or DTypeWithConstraints$"
    ):
        DTypeConfig.from_dict({key: "quint8"})
