"""Configs and named objects for the tests of qnative.backend_config."""

import operator

import torch
import torch.nn.functional as F
from torch import nn

from qnative.backend_config import BackendPatternConfig, DTypeConfig, ObservationType

OWN = ObservationType.OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT
SHARED = ObservationType.OUTPUT_SHARE_OBSERVER_WITH_INPUT


class MyModule(nn.Module):
    class Inner(nn.Module):
        pass


def my_fuser(is_qat, linear, relu):
    return nn.Sequential(linear, relu)


class Getters:
    def extra_inputs(self, pattern):
        return [pattern]


def int8():
    return DTypeConfig(torch.quint8, torch.quint8, torch.qint8, torch.float)


def full_config(pattern=(nn.Linear, nn.ReLU)):
    """Every field is set but the complex pattern format."""
    return (
        BackendPatternConfig(pattern)
        .set_observation_type(SHARED)
        .add_dtype_config(int8())
        .set_root_module(nn.Linear)
        .set_qat_module(MyModule)
        .set_reference_quantized_module(MyModule.Inner)
        .set_fused_module(nn.Sequential)
        .set_fuser_method(my_fuser)
        ._set_root_node_getter(operator.itemgetter)
        ._set_extra_inputs_getter(F.relu)
        ._set_num_tensor_args_to_observation_type({0: OWN, 1: SHARED})
        ._set_input_type_to_index({"weight": 1, "bias": 2})
    )
