"""Errors of configs from dicts and lists name the row and the field."""

import re

import pytest
import torch
from torch import nn

from qnative.backend_config import BackendConfig, BackendPatternConfig, DTypeConfig


def contains_itself():
    configs = []
    configs.append({"configs": configs})
    return configs


def nested(levels):
    pattern = "relu"
    for _ in range(levels):
        pattern = (pattern, nn.ReLU)
    return pattern


LIST = []
LIST.append(LIST)


@pytest.mark.parametrize(
    ("configs", "error", "message"),
    [
        ([{"pattern": nn.ReLU}, {"pattern": ()}], ValueError, "configs[1]: Expected a tuple with"),
        ([{"pattern": (nn.ReLU,) * 5}], ValueError, "configs[0]: Expected a tuple with 2 or 3"),
        ([{}], ValueError, "configs[0]: Either 'pattern' or 'pattern_complex_format' must"),
        (contains_itself(), ValueError, "configs[0]: Either 'pattern' or"),
        ([{"pattern": (nn.ReLU, LIST)}], TypeError, "configs[0]: pattern: wanted a module class"),
        ([{"pattern": nested(100_000)}], ValueError, "configs[0]: pattern: a pattern is nested"),
        ([{"pattern": nn.ReLU}, 3], ValueError, "configs[1]: Expected backend_config_dict"),
        (
            [{"pattern": nn.ReLU, "dtype_configs": [{}, 7]}],
            ValueError,
            "configs[0]: dtype_configs[1]: Expected a list of DTypeConfigs",
        ),
        (
            [{"pattern": nn.ReLU, "dtype_configs": [{"input_dtype": "x"}]}],
            ValueError,
            "configs[0]: dtype_configs[0]: Expected input_dtype to be a torch.dtype",
        ),
        (
            [{"pattern": nn.ReLU, "observation_type": 9}],
            TypeError,
            "configs[0]: observation_type should be an ObservationType, got 9",
        ),
        (
            [{"pattern": nn.ReLU, "root_module": {}}],
            TypeError,
            "configs[0]: root_module: wanted a c",
        ),
        (
            [{"pattern": nn.ReLU, "ops": [3]}],
            TypeError,
            "configs[0]: ops[0] should be a str, got 3",
        ),
        (
            [{"pattern": nn.ReLU, "reference": "f"}],
            TypeError,
            "configs[0]: reference should be a function",
        ),
        (
            [{"pattern": nn.ReLU, "input_type_to_index": {"weight": "1"}}],
            TypeError,
            "configs[0]: input_type_to_index['weight']: it should be an int, got '1'",
        ),
    ],
)
def test_errors_name_row_and_field(configs, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        BackendConfig.from_dict({"name": "bad", "configs": configs})


def test_errors_of_lists_of_rows_name_the_row():
    good = BackendPatternConfig(nn.ReLU).add_dtype_config(DTypeConfig(torch.quint8, torch.quint8))
    for bad, error in ((BackendPatternConfig(), ValueError), (3, TypeError)):
        with pytest.raises(error, match=r"^configs\[1\]: "):
            BackendConfig("mine").set_backend_pattern_configs([good, bad])
