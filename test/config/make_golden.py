"""Writes native_golden.json: upstream's native configs by name, for torch without upstream.

Run it where torch.ao.quantization exists: python test/config/make_golden.py
"""

import importlib
import json
from pathlib import Path

GOLDEN = Path(__file__).with_name("native_golden.json")
FIELDS = (
    "root_module",
    "qat_module",
    "reference_quantized_module",
    "fused_module",
    "fuser_method",
    "_input_type_to_index",
    "_num_tensor_args_to_observation_type",
)
# Modules in which upstream's patterns have their public names.
NAMESPACES = (
    "operator",
    "torch",
    "torch.nn",
    "torch.ao.nn.intrinsic",
    "torch.ao.nn.intrinsic.qat",
    "torch.ao.nn.qat",
    "torch.ao.nn.quantized.reference",
    "torch.ao.quantization.fuser_method_mappings",
    "torch.nn.functional",
)


def public_names() -> dict[int, str]:
    names = {}
    for namespace in NAMESPACES:
        for name, value in vars(importlib.import_module(namespace)).items():
            if callable(value) and not name.startswith("__"):
                names[id(value)] = f"{namespace}.{name}"
    return names


def name_of(value, names: dict[int, str]):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return [name_of(element, names) for element in value]
    if id(value) in names:
        return names[id(value)]
    # The rest are closures of _sequential_wrapper2.
    wrapper = value.__qualname__.split(".")[0]
    return f"{value.__module__}.{wrapper}({names[id(value.__closure__[0].cell_contents)]})"


def entry(config, names: dict[int, str]) -> dict:
    fields = {name.strip("_"): getattr(config, name) for name in FIELDS}
    fields = {name: value for name, value in fields.items() if value not in (None, {})}
    for name, value in fields.items():
        if name == "num_tensor_args_to_observation_type":
            fields[name] = {key: kind.value for key, kind in value.items()}
        elif not isinstance(value, dict):
            fields[name] = name_of(value, names)
    return {
        "pattern": name_of(config.pattern, names),
        "observation_type": config.observation_type.value,
        "dtype_configs": [dtypes(dtype_config) for dtype_config in config.dtype_configs],
        **fields,
    }


def constraints(value) -> str:
    """A DTypeWithConstraints, of upstream or of qnative."""
    fixed = (value.quant_min_lower_bound, value.quant_max_upper_bound, value.scale_exact_match)
    fixed = (*fixed, value.zero_point_exact_match)
    assert value.scale_min_lower_bound is None and value.scale_max_upper_bound is None
    dtype = str(value.dtype).removeprefix("torch.")
    return dtype if fixed == (None,) * 4 else " ".join(map(str, (dtype, *fixed)))


def dtypes(value) -> str:
    """A DTypeConfig, of upstream or of qnative."""
    parts = [
        constraints(value.input_dtype_with_constraints),
        constraints(value.output_dtype_with_constraints),
        constraints(value.weight_dtype_with_constraints),
        str(value.bias_dtype).removeprefix("torch."),
        str(value.is_dynamic),
    ]
    return ", ".join(parts)


def golden() -> dict:
    upstream = "torch.ao.quantization.backend_config"
    # BackendConfig uses this module without importing it.
    importlib.import_module(upstream + ".utils")
    native = importlib.import_module(upstream + ".native")
    names = public_names()
    named = {name for name in dir(native) if name.endswith("_dtype_config")}
    backends = {
        "native": native.get_native_backend_config(),
        "_native_and_fp16": native.get_test_only_legacy_native_backend_config(),
    }
    result = {"dtype_configs": {name: dtypes(getattr(native, name)) for name in sorted(named)}}
    for name, config in backends.items():
        assert config.name == name
        result[name] = [entry(pattern_config, names) for pattern_config in config.configs]
    return result


def text() -> str:
    content = golden()
    # The second config differs only in its dtypes.
    plain, fp16 = content["native"], content.pop("_native_and_fp16")
    for row, other in zip(plain, fp16, strict=True):
        legacy = other["dtype_configs"]
        assert {**row, "dtype_configs": legacy} == other
        if legacy != row["dtype_configs"]:
            row["legacy_dtype_configs"] = legacy
    lines = ",\n".join(json.dumps(row) for row in plain)
    dtype_configs = json.dumps(content["dtype_configs"], indent=1)
    return f'{{"dtype_configs": {dtype_configs},\n"native": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    GOLDEN.write_text(text())
