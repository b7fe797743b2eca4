"""Configs in TorchScript, in saved modules, under export and compile; and damaged files."""

import io
import pickletools
import zipfile

import pytest
import torch
from torch import nn

from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    DTypeWithConstraints,
    get_native_backend_config,
)
from qnative.backend_config.native import weighted_op_quint8_dtype_config
from support.configs import SHARED, full_config

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.config = get_native_backend_config().script_object

    def forward(self, x):
        return self.linear(x)

    @torch.jit.export
    def build(self) -> int:
        constraints = torch.classes.qnative.DTypeWithConstraints(torch.quint8, 0, 127.5)
        constraints.zero_point_exact_match = 3
        dtypes = torch.classes.qnative.DTypeConfig(
            constraints, torch.quint8, torch.qint8, torch.float
        )
        pattern = ("torch.nn.Linear", ("torch.nn.Tanh", "relu"))
        config = torch.classes.qnative.BackendPatternConfig()
        config.set_pattern_complex_format(pattern).set_observation_type(1).add_dtype_config(dtypes)
        config.set_root_module("torch.nn.Linear").set_fuser_method(None)
        config.dtype_configs.append(dtypes)
        config.input_type_to_index["weight"] = 1
        config.num_tensor_args_to_observation_type[2] = 1
        self.config.set_backend_pattern_config(config)
        self.config.name = "built"
        return len(self.config.configs)

    @torch.jit.export
    def change(self) -> bool:
        cat = self.config.find("torch.cat")
        if cat is None:
            return False
        dtypes = cat.dtype_configs[0]
        dtype = dtypes.input_dtype
        if dtype is None or dtype != torch.quint8:
            return False
        cat.dtype_configs = [dtypes, torch.classes.qnative.DTypeConfig()]
        return self.config.erase("torch.nn.PReLU") and not self.config.erase("torch.nn.PReLU")

    @torch.jit.export
    def inspect(self) -> str:
        pattern = self.config.configs[0].pattern
        return pattern if isinstance(pattern, str) else "a tuple"

    @torch.jit.export
    def copied(self) -> bool:
        backends = torch.classes.qnative.Backends()
        native = backends.get_native_backend_config()
        again = torch.classes.qnative.BackendConfig().from_dict(native.to_dict())
        linear = backends.dtype_config("weighted_op_quint8_dtype_config")
        same = torch.classes.qnative.DTypeConfig().from_dict(linear.to_dict()) == linear
        return same and again == native and native != self.config


def saved_and_loaded(module):
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    return torch.jit.load(file)


def test_script_builds_and_changes():
    scripted = torch.jit.script(Model())
    assert scripted.inspect() == "torch.nn.Conv1d"
    assert scripted.build() == 195
    assert scripted.change()
    loaded = saved_and_loaded(scripted)
    assert loaded.copied()
    config = BackendConfig.from_script_object(loaded.config)
    assert config == BackendConfig.from_script_object(scripted.config)
    assert config.name == "built"
    by_key = config._pattern_complex_format_to_config
    assert nn.PReLU not in by_key
    assert [dtypes.input_dtype for dtypes in by_key[torch.cat].dtype_configs] == [
        torch.quint8,
        None,
    ]
    built = by_key[nn.Linear, (nn.Tanh, "relu")]
    assert built.observation_type is SHARED
    assert built.root_module is nn.Linear
    constraints = DTypeWithConstraints(torch.quint8, 0, 127.5, zero_point_exact_match=3)
    wanted = DTypeConfig(constraints, torch.quint8, torch.qint8, torch.float)
    assert built.dtype_configs == [wanted, wanted]
    assert built.dtype_configs[0] is built.dtype_configs[1]
    assert built._input_type_to_index == {"weight": 1}
    assert built._num_tensor_args_to_observation_type == {2: SHARED}


def test_python_and_script_see_the_same_object():
    config = get_native_backend_config()
    model = Model()
    model.config = config.script_object
    scripted = torch.jit.script(model)
    scripted.build()
    assert config.name == "built"
    assert len(config.configs) == 195
    config.set_name("renamed")
    assert scripted.config.name == "renamed"


@pytest.mark.parametrize(
    "make",
    [
        lambda: DTypeWithConstraints(torch.quint8, 0, 255.0, 1e-6, 1, 0.5, 3),
        lambda: weighted_op_quint8_dtype_config,
        full_config,
        get_native_backend_config,
    ],
)
def test_each_class_as_attribute(make):
    config = make()
    module = nn.Module()
    module.config = config.script_object
    loaded = saved_and_loaded(torch.jit.script(module))
    assert type(config).from_script_object(loaded.config) == config


def test_errors_reach_script():
    @torch.jit.script
    def wrong_dtype(number: int):
        torch.classes.qnative.DTypeConfig(number)

    @torch.jit.script
    def wrong_type(number: int):
        torch.classes.qnative.BackendPatternConfig("a").observation_type = number

    # The interpreter turns every error of C++ into a RuntimeError.
    with pytest.raises(RuntimeError, match="input_dtype should be a dtype, and no dtype has the n"):
        wrong_dtype(256)
    with pytest.raises(RuntimeError, match="3 is not a valid ObservationType"):
        wrong_type(3)
    with pytest.raises(ValueError, match=r"no DTypeConfig is named 'x'\. There are: default_d"):
        torch.classes.qnative.Backends().dtype_config("x")
    with pytest.raises(ValueError, match=r"no DTypeWithConstraints is named 'x'\. There are: exe"):
        torch.classes.qnative.Backends().dtype_with_constraints("x")
    with pytest.raises(ValueError, match="pattern should be a str, a tuple or None, got Int"):
        torch.classes.qnative.BackendPatternConfig(3)
    with pytest.raises(ValueError, match="dtype should be a dtype, got String"):
        torch.classes.qnative.DTypeWithConstraints("quint8")


@pytest.mark.parametrize("strict", [False, True])
def test_export_with_the_object_as_attribute(strict):
    model = Model()
    x = torch.ones(1, 2)
    exported = torch.export.export(model, (x,), strict=strict).run_decompositions()
    assert torch.equal(exported.module()(x), model(x))


def test_compile_with_the_object_as_attribute():
    model = Model()
    x = torch.ones(1, 2)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))


def test_facade_as_attribute_is_ignored_by_export():
    model = nn.Linear(2, 2)
    model.config = get_native_backend_config()
    torch.export.export(model, (torch.ones(1, 2),))


def damaged(old: bytes, new: bytes) -> io.BytesIO:
    """A saved module with `old` replaced in its pickle; the archive is intact."""
    module = nn.Module()
    module.config = BackendConfig("a name").script_object
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(module), file)
    result = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(result, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("/data.pkl"):
                assert content.count(old) == 1, list(pickletools.genops(content))
                content = content.replace(old, new)
            target.writestr(name, content)
    result.seek(0)
    return result


def string(text: bytes) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text


@pytest.mark.parametrize(
    "old, new, message",
    [
        (string(b"BackendConfig"), string(b"DTypeConfig"), "it is that of a DTypeConfig"),
        (string(b"a name"), b"K\x07", r"root\[0\] should be a str, got Int"),
        (string(b"a name"), b"N", r"root\[0\] should be a str, got None"),
        (b"K\x02", b"K\x03", "the state has format version 3, this library reads versions 1 to 2"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(old, new, message):
    with pytest.raises((RuntimeError, ValueError), match=message):
        torch.jit.load(damaged(old, new))


def test_an_intact_file_loads():
    loaded = torch.jit.load(damaged(string(b"a name"), string(b"another name")))
    assert loaded.config.name == "another name"


def restore(state, name):
    """Sets the state of a TorchScript object, as pickle and copy.deepcopy do."""
    restored = torch.ScriptObject.__new__(torch.ScriptObject)
    restored.__setstate__((state, f"__torch__.torch.classes.qnative.{name}"))
    return restored


def mutations(value):
    """Copies of the state with one part replaced, for every part and several replacements."""
    replacements = (None, True, -1, 2**62, 0.5, "x", "", (), (0,), ((0, 0), (1, 1)))
    yield from (replacement for replacement in replacements if replacement != value)
    if isinstance(value, tuple):
        for i, element in enumerate(value):
            for mutated in mutations(element):
                yield (*value[:i], mutated, *value[i + 1 :])


def test_damaged_state_never_crashes():
    backend = BackendConfig("x").set_backend_pattern_config(full_config())
    state, _ = backend.script_object.__getstate__()
    assert restore(state, "BackendConfig") == backend.script_object
    loaded = failed = 0
    for mutated in mutations(state):
        try:
            config = restore(mutated, "BackendConfig")
        except ValueError as error:
            assert "qnative.BackendConfig: " in str(error)
            failed += 1
            continue
        # A loaded object can be read, saved and compared.
        assert repr(BackendConfig.from_script_object(config))
        assert restore(config.__getstate__()[0], "BackendConfig") == config
        loaded += 1
    assert loaded > 50
    assert failed > 500


def test_script_patterns_are_names():
    config = BackendPatternConfig("torch.conv2d").script_object
    assert config.pattern == "torch.nn.functional.conv2d"
