"""An error of each public function and method of backend_config; none may be left out."""

import inspect
import re

import pytest
import torch
from torch import nn

import qnative
import qnative.testing
from qnative import backend_config as bc
from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    DTypeWithConstraints,
    ObservationType,
    utils,
)

CLASSES = (BackendConfig, BackendPatternConfig, DTypeConfig, DTypeWithConstraints)
X = (torch.randn(2, 4),)


def row(pattern=nn.ReLU):
    return BackendPatternConfig(pattern)


def config(*rows):
    return BackendConfig("mine").set_backend_pattern_configs(rows)


def clashing(root_module):
    return config(row().set_root_module(root_module))


def unnamed():
    """A config with an object that cannot be named."""
    return config(row().set_fuser_method(lambda is_qat, x: x))


def of_torch(function):
    return lambda: function("native")


CASES = {
    "qnative.dry_run": (
        lambda: qnative.dry_run(nn.ReLU, X),
        TypeError,
        "qnative.dry_run: model must be a torch.nn.Module, got type",
    ),
    "qnative.quantize": (
        lambda: qnative.quantize(nn.ReLU, X, X),
        TypeError,
        "qnative.quantize: model must be a torch.nn.Module, got type",
    ),
    "qnative.Quantizer": (lambda: qnative.Quantizer(3), TypeError, "must be a BackendConfig, the"),
    "register_backend": (
        lambda: bc.register_backend("mine", "native"),
        TypeError,
        "config should be a BackendConfig, got 'native'",
    ),
    "unregister_backend": (lambda: bc.unregister_backend("x86"), ValueError, "is qnative's own"),
    "get_backend": (lambda: bc.get_backend("nativ"), ValueError, "no backend is named 'nativ'"),
    "resolve": (lambda: bc.resolve(3, "f"), TypeError, "f: backend_config must be a BackendConfig"),
    "unite": (
        lambda: bc.unite(clashing(nn.ReLU), clashing(nn.ELU)),
        ValueError,
        "unite: row torch.nn.ReLU: root_module is torch.nn.ReLU in the first config and torch.nn.E",
    ),
    "intersect": (
        lambda: bc.intersect(config(), config(), "third"),
        ValueError,
        "on_clash should be 'error', 'first' or 'second', got 'third'",
    ),
    "diff": (lambda: bc.diff(config(), "x86"), TypeError, "b should be a BackendConfig, got 'x86'"),
    "conformance": (
        lambda: qnative.testing.conformance(config()),
        ValueError,
        "no row has a kernel of another library",
    ),
    "conformance_cases": (
        lambda: qnative.testing.conformance_cases(3),
        TypeError,
        "backend_config must be a BackendConfig",
    ),
    # ---- utils
    **{
        name: (of_torch(getattr(utils, name)), TypeError, "should be a BackendConfig, got 'native'")
        for name in utils.__all__
        if name.startswith("get_")
    },
    "entry_to_pretty_str": (
        lambda: utils.entry_to_pretty_str([]),
        TypeError,
        "entry should be a dict, got []",
    ),
    # ---- classes
    "ObservationType": (lambda: ObservationType(3), ValueError, "3 is not a valid Observ"),
    "DTypeWithConstraints": (
        lambda: DTypeWithConstraints("quint8"),
        TypeError,
        "dtype should be a torch.dtype or None, got 'quint8'",
    ),
    **{
        f"DTypeWithConstraints.{name}": (
            lambda name=name: setattr(DTypeWithConstraints(), name, "1"),
            TypeError,
            f"{name} should be an int",
        )
        for name in (
            *("quant_min_lower_bound", "quant_max_upper_bound", "scale_min_lower_bound"),
            *("scale_max_upper_bound", "scale_exact_match", "zero_point_exact_match"),
        )
    },
    "DTypeWithConstraints.dtype": (
        lambda: setattr(DTypeWithConstraints(), "dtype", 13),
        TypeError,
        "dtype should be a torch.dtype or None, got 13",
    ),
    "DTypeConfig": (
        lambda: DTypeConfig(None, "quint8"),
        TypeError,
        "output_dtype should be a torch.dtype or None, got 'quint8'",
    ),
    "DTypeConfig.from_dict": (
        lambda: DTypeConfig.from_dict({"weight_dtype": 3}),
        ValueError,
        "Expected weight_dtype to be a torch.dtype or DTypeWithConstraints",
    ),
    **{
        f"DTypeConfig.{name}_dtype_with_constraints": (
            lambda name=name: setattr(DTypeConfig(), f"{name}_dtype_with_constraints", None),
            TypeError,
            f"{name}_dtype_with_constraints should be a DTypeWithConstraints, got None",
        )
        for name in ("input", "output", "weight")
    },
    "DTypeConfig.bias_dtype": (
        lambda: setattr(DTypeConfig(), "bias_dtype", "float"),
        TypeError,
        "bias_dtype should be a torch.dtype or None, got 'float'",
    ),
    "DTypeConfig.is_dynamic": (
        lambda: setattr(DTypeConfig(), "is_dynamic", 1),
        TypeError,
        "is_dynamic should be a bool or None, got 1",
    ),
    "BackendPatternConfig": (
        lambda: BackendPatternConfig(nn.ReLU()),
        TypeError,
        "pattern: wanted the class of a module, not the module ReLU()",
    ),
    "BackendPatternConfig.set_pattern": (
        lambda: row().set_pattern([nn.Linear, nn.ReLU]),
        TypeError,
        "pattern: wanted a module class, a function, an op, the name of one or a tuple of these",
    ),
    "BackendPatternConfig._set_pattern_complex_format": (
        lambda: row()._set_pattern_complex_format((nn.ReLU, nn.Linear)),
        ValueError,
        "Only one of 'pattern' or 'pattern_complex_format' can be set",
    ),
    "BackendPatternConfig.set_observation_type": (
        lambda: row().set_observation_type(1),
        TypeError,
        "observation_type should be an ObservationType, got 1",
    ),
    "BackendPatternConfig.add_dtype_config": (
        lambda: row().add_dtype_config(torch.quint8),
        TypeError,
        "dtype_configs[0]: it should be a DTypeConfig, got torch.quint8",
    ),
    "BackendPatternConfig.set_dtype_configs": (
        lambda: row().set_dtype_configs(DTypeConfig()),
        TypeError,
        "dtype_configs should be a list, got DTypeConfig(",
    ),
    **{
        f"BackendPatternConfig.set_{name}": (
            lambda name=name: getattr(row(), f"set_{name}")(nn.ReLU()),
            TypeError,
            f"{name}: wanted a class, the name of one or None, got ReLU()",
        )
        for name in ("root_module", "qat_module", "reference_quantized_module", "fused_module")
    },
    **{
        f"BackendPatternConfig.{setter}": (
            lambda setter=setter: getattr(row(), setter)(3),
            TypeError,
            f"{setter.removeprefix('_').removeprefix('set_')}: wanted a function, the name of one",
        )
        for setter in ("set_fuser_method", "_set_root_node_getter", "_set_extra_inputs_getter")
    },
    "BackendPatternConfig._set_num_tensor_args_to_observation_type": (
        lambda: row()._set_num_tensor_args_to_observation_type({2: 1}),
        TypeError,
        "num_tensor_args_to_observation_type[2]: it should be an ObservationType, got 1",
    ),
    "BackendPatternConfig._set_input_type_to_index": (
        lambda: row()._set_input_type_to_index({"weight": 2**63}),
        ValueError,
        "input_type_to_index['weight']: it should be an int of 64 bits, got 9223372036854775808",
    ),
    "BackendPatternConfig.set_ops": (
        lambda: row().set_ops("linear", None),
        TypeError,
        "ops[1] should be a str, got None",
    ),
    "BackendPatternConfig.ops": (
        lambda: setattr(row(), "ops", "linear"),
        TypeError,
        "ops should be a list of names, got 'linear'",
    ),
    "BackendPatternConfig.op": (lambda: row().op(-1), IndexError, "the index is negative: -1"),
    "BackendPatternConfig.set_reference": (
        lambda: row().set_reference("relu"),
        TypeError,
        "reference should be a function or None, got 'relu'",
    ),
    "BackendPatternConfig.from_dict": (
        lambda: BackendPatternConfig.from_dict({"ops": "linear"}),
        TypeError,
        "ops should be a list of names, got 'linear'",
    ),
    "BackendPatternConfig.to_torch": (
        lambda: row("torch.nn.Nothing").to_torch(),
        ImportError,
        "no imported package has an object named 'torch.nn.Nothing'",
    ),
    "BackendConfig": (lambda: BackendConfig(None), TypeError, "name should be a str, got None"),
    "BackendConfig.set_name": (lambda: config().set_name(3), TypeError, "name should be a str"),
    "BackendConfig.name": (
        lambda: setattr(config(), "name", "\ud800"),
        ValueError,
        "name should be text that UTF-8 can hold, got '\\ud800'",
    ),
    "BackendConfig.set_backend_pattern_config": (
        lambda: config().set_backend_pattern_config(row((nn.Linear,) * 4)),
        ValueError,
        "Expected a tuple with 2 or 3 elements, got: (",
    ),
    "BackendConfig.set_backend_pattern_configs": (
        lambda: config(row(), BackendPatternConfig()),
        ValueError,
        "configs[1]: Either 'pattern' or 'pattern_complex_format' must be specified",
    ),
    "BackendConfig.from_dict": (
        lambda: BackendConfig.from_dict({"configs": [{"pattern": nn.ReLU}, {}]}),
        ValueError,
        "configs[1]: Either 'pattern' or 'pattern_complex_format' must be specified",
    ),
    "BackendConfig.to_json": (
        lambda: unnamed().to_json(),
        ValueError,
        "to_json: configs[0].fuser_method: wanted an object that can be found by name",
    ),
    "BackendConfig.from_json": (lambda: BackendConfig.from_json("{}"), ValueError, "version: want"),
    "BackendConfig.to_torch": (
        lambda: config(row("torch.nn.Nothing")).to_torch(),
        ImportError,
        "no imported package has an object named 'torch.nn.Nothing'",
    ),
    **{
        f"{cls.__name__}.{name}": (
            lambda cls=cls, name=name: getattr(cls, name)(3),
            TypeError,
            message,
        )
        for cls in CLASSES
        for name, message in (
            ("from_torch", f"from_torch: wanted a {cls.__name__} of torch.ao.quantization, got 3"),
            ("from_script_object", f"{cls.__name__}.from_script_object: wanted a __torch__"),
        )
    },
}

# Returns unknown values unchanged, as upstream does.
TAKES_ANYTHING = {"pattern_to_human_readable", "remove_boolean_dispatch_from_name"}
# Results, which users do not build; flags take any truth value.
RESULTS = {"BackendConfigDiff", "Difference", "Finding", "MissingKernel", "Case", "Conformance"}
RESULTS |= {"ConformanceError", "DryRun"}
FLAGS = {"BackendConfig.to_dict", "BackendPatternConfig.to_dict"}
# They reject only the config itself.
WITHOUT_ARGUMENTS = {"BackendConfig.to_json", "BackendConfig.to_torch"}
WITHOUT_ARGUMENTS |= {"BackendPatternConfig.to_torch"}
# Set by methods with the same check.
SET_BY_METHODS = {"pattern", "observation_type", "dtype_configs", "root_module", "qat_module"}
SET_BY_METHODS |= {"reference_quantized_module", "fused_module", "fuser_method"}


@pytest.mark.parametrize("name", CASES)
def test_errors(name):
    call, error, message = CASES[name]
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_configs_of_torch_without_a_name_convert():
    """to_torch takes unnamed objects; only names without an object are errors."""
    assert callable(unnamed().to_torch().configs[0].fuser_method)


def takes_arguments(function) -> bool:
    parameters = inspect.signature(function).parameters
    return any(name not in ("self", "cls") for name in parameters)


def public_functions():
    names = {"qnative.dry_run", "qnative.quantize", "qnative.Quantizer"}
    for module in (bc, utils, qnative.testing):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or (inspect.isroutine(value) and takes_arguments(value)):
                names.add(name)
    return names - RESULTS


def methods_of(cls):
    """Methods with arguments, and attributes that can be set."""
    own = {name: value for base in reversed(cls.__mro__[:-1]) for name, value in vars(base).items()}
    for name, value in own.items():
        is_setter = name.startswith("_set_")  # upstream's
        if name.startswith("_") and not is_setter:
            continue
        if isinstance(value, property):
            if value.fset is not None:
                yield name
        elif inspect.isroutine(value) or isinstance(value, classmethod):
            if takes_arguments(getattr(cls, name)):
                yield name
        elif hasattr(type(value), "__set__") and name not in SET_BY_METHODS:
            yield name


def test_every_public_function_has_an_error():
    names = public_functions()
    names |= {f"{cls.__name__}.{name}" for cls in CLASSES for name in methods_of(cls)}
    assert names - TAKES_ANYTHING - FLAGS == CASES.keys() - WITHOUT_ARGUMENTS


# ---- TorchScript classes


SCRIPT = ("DTypeWithConstraints", "DTypeConfig", "BackendPatternConfig", "BackendConfig")
RIGHT = {
    "str": "torch.nn.ReLU",
    "int": 0,
    "bool": False,
    "float": 0.5,
    "Any": "torch.nn.ReLU",
    "number": 1,
}


def right(kind: str):
    """A valid value for an argument of a TorchScript method."""
    kind = kind.removeprefix("Optional[").removesuffix("]") if kind.startswith("Opt") else kind
    if kind.startswith("__torch__"):
        return getattr(torch.classes.qnative, kind.rpartition(".")[2])()
    if kind.startswith("Dict"):
        return {}
    return [] if kind.startswith("List") else RIGHT[kind]


def script_methods():
    for name in (*SCRIPT, "Backends"):
        for method in getattr(torch.classes.qnative, name)()._method_names():
            if method == "__init__" or not method.startswith("_"):
                yield name, method


@pytest.mark.parametrize(("name", "method"), script_methods())
def test_script_methods_reject_other_types(name, method):
    make = getattr(torch.classes.qnative, name)
    _, *arguments = make()._get_method(method).schema.arguments
    kinds = [str(argument.type) for argument in arguments]
    for i in range(len(kinds)):
        values = [right(kind) for kind in kinds]
        values[i] = torch.zeros(2)  # TorchScript would take a list of one element as a number
        call = make if method == "__init__" else getattr(make(), method)
        with pytest.raises((RuntimeError, ValueError)) as error:
            call(*values)
        assert "INTERNAL" not in str(error.value)
