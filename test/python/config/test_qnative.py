"""qnative's own config: native's rows in order, those of convolutions with dynamic dtypes too, then
rows that name ops which exist."""

import torch

from qnative.backend_config import (
    BackendConfig,
    diff,
    get_backend,
    get_native_backend_config,
    get_qnative_backend_config,
    get_qnative_backend_config_dict,
)


def own_rows():
    return get_qnative_backend_config().configs[len(get_native_backend_config().configs) :]


def test_it_begins_with_native():
    native, config = get_native_backend_config(), get_qnative_backend_config()
    assert config.name == "qnative"
    rows = config.configs[: len(native.configs)]
    added = [row for row, old in zip(rows, native.configs, strict=True) if row != old]
    assert all(any("conv" in op for op in row.ops) for row in added)
    for row in added:
        static, dynamic = row.dtype_configs
        assert row.ops == (row.ops[0], f"{row.ops[0]}_dynamic") and dynamic.is_dynamic
        row.set_dtype_configs([static]).set_ops(row.ops[0])
    assert rows == native.configs
    config = get_qnative_backend_config()
    assert {d.a for d in diff(native, config) if d.field == "row"} == {None}
    assert {d.field for d in diff(native, config)} == {"name", "row", "dtype_configs"}


def test_every_row_of_ours_has_a_kernel():
    config = get_qnative_backend_config()
    assert [row.reason for row in config.validate()] == [
        row.reason for row in get_native_backend_config().validate()
    ]
    found = {(f.row, f.field) for f in config.lint()}
    assert found == {(f.row, f.field) for f in get_native_backend_config().lint()}


def test_names_lead_to_objects():
    for row in own_rows():
        pattern = row.pattern if isinstance(row.pattern, tuple) else (row.pattern,)
        assert not any(isinstance(part, str) and "." in part for part in pattern), pattern


def test_forms():
    config = get_qnative_backend_config()
    assert get_backend("qnative") == config
    script = torch.classes.qnative.Backends().get_qnative_backend_config()
    assert BackendConfig.from_script_object(script) == config
    assert BackendConfig.from_json(config.to_json()) == config
    assert BackendConfig.from_torch(config.to_torch()) == config
    assert get_qnative_backend_config_dict() == config.to_dict()
    # Rows are new, DTypeConfigs are shared.
    other = get_qnative_backend_config()
    assert other.configs[-1].script_object is not config.configs[-1].script_object
