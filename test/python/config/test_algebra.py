"""unite, intersect, diff, and the tables."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    Difference,
    DTypeConfig,
    diff,
    get_fbgemm_backend_config,
    get_native_backend_config,
    get_qnnpack_backend_config,
    intersect,
    qnnpack,
    unite,
)
from support.configs import BACKENDS, OWN, SHARED, full_config, int8, ours
from support.strategies import repeatable

HALF = DTypeConfig(torch.half, torch.half)
INT8 = int8()


def backend(name: str, *configs: BackendPatternConfig) -> BackendConfig:
    return BackendConfig(name).set_backend_pattern_configs(configs)


def linear(*dtypes: DTypeConfig, ops=()) -> BackendPatternConfig:
    return BackendPatternConfig(nn.Linear).set_dtype_configs(dtypes).set_ops(*ops)


# ---- rules by example


def test_unite_appends_rows_and_dtypes():
    a = backend("a", linear(INT8, ops=["linear"]), BackendPatternConfig("reshape"))
    b = backend("b", BackendPatternConfig("view"), linear(HALF, INT8, ops=["half", "linear"]))
    united = unite(a, b)
    assert united.name == "a | b"
    assert [config.pattern for config in united.configs] == [nn.Linear, "reshape", "view"]
    assert united.configs[0].dtype_configs == [INT8, HALF]
    assert united.configs[0].ops == ("linear", "half")
    assert unite(b, a).configs[1].dtype_configs == [HALF, INT8]


def test_intersect_keeps_what_both_have():
    reshape = BackendPatternConfig("reshape").add_dtype_config(INT8)
    a = backend("a", reshape, linear(INT8, HALF, ops=["linear", "half"]), full_config())
    b = backend("b", linear(HALF, ops=["half"]), BackendPatternConfig("view"))
    common = intersect(a, b)
    assert common.name == "a & b"
    assert [config.pattern for config in common.configs] == [nn.Linear]
    assert common.configs[0].dtype_configs == [HALF]
    assert common.configs[0].ops == ("half",)
    # A row of both, without common dtypes.
    assert intersect(a, backend("b", linear(DTypeConfig()))).configs == []
    # A row without dtypes is matched but not quantized: it conflicts with nothing.
    assert len(intersect(a, backend("b", linear())).configs) == 1


@pytest.mark.parametrize("field", ["root_module", "qat_module", "fused_module", "fuser_method"])
def test_a_field_set_in_one_is_in_the_union_only(field):
    a, b = backend("a", linear(INT8)), backend("b", linear(INT8))
    setattr(a.configs[0], field, nn.ELU)
    for first, second in [(a, b), (b, a)]:
        assert getattr(unite(first, second).configs[0], field) is nn.ELU
        assert getattr(intersect(first, second).configs[0], field) is None


def nested(pattern) -> BackendPatternConfig:
    config = BackendPatternConfig()._set_pattern_complex_format(pattern)
    return config.add_dtype_config(INT8)


CLASHES = [
    ("root_module", linear(INT8).set_root_module(nn.ELU), linear(INT8).set_root_module(nn.GELU)),
    (
        "observation_type",
        linear(INT8).set_observation_type(OWN),
        linear(INT8).set_observation_type(SHARED),
    ),
    (
        "_input_type_to_index",
        linear(INT8)._set_input_type_to_index({"weight": 1}),
        linear(INT8)._set_input_type_to_index({"weight": 2}),
    ),
    (
        "_num_tensor_args_to_observation_type",
        linear(INT8)._set_num_tensor_args_to_observation_type({1: OWN}),
        linear(INT8)._set_num_tensor_args_to_observation_type({1: SHARED}),
    ),
    ("ops", linear(INT8, ops=["a"]), linear(INT8, ops=["b"])),
]


@pytest.mark.parametrize("merge", [unite, intersect])
@pytest.mark.parametrize("field, first, second", CLASHES)
def test_clashes(merge, field, first, second):
    a, b = backend("a", first), backend("b", second)
    message = f"{merge.__name__}: row torch.nn.Linear: {field.removeprefix('_')} is .* in the first"
    with pytest.raises(ValueError, match=message):
        merge(a, b)
    for on_clash, winner in [("first", first), ("second", second)]:
        result = merge(a, b, on_clash).configs[0]
        assert getattr(result, field) == getattr(winner, field) != ()
        assert diff(backend("a", result), backend("a", winner)) == ()


@pytest.mark.parametrize("merge", [unite, intersect])
def test_the_two_formats_of_a_pattern_clash(merge):
    plain = BackendPatternConfig((nn.Linear, nn.ReLU)).add_dtype_config(INT8)
    a = backend("a", plain.set_fuser_method(torch.add))
    b = backend("b", nested((nn.ReLU, nn.Linear))._set_root_node_getter(torch.sub))
    with pytest.raises(ValueError, match=r"row \(torch.nn.Linear, torch.nn.ReLU\): pattern is "):
        merge(a, b)
    assert merge(a, b, "first").configs == a.configs
    assert merge(a, b, on_clash="second").configs == b.configs


def test_errors():
    a = backend("a")
    for function in (unite, intersect, diff):
        with pytest.raises(TypeError, match="b should be a BackendConfig, got None"):
            function(a, None)
        with pytest.raises(TypeError, match="a should be a BackendConfig, got 'a'"):
            function("a", a)
    for merge in (unite, intersect):
        with pytest.raises(ValueError, match="'error', 'first' or 'second', got 'third'"):
            merge(a, a, "third")
        with pytest.raises(TypeError, match="on_clash should be a str, got 1"):
            merge(a, a, 1)


def test_results_share_nothing_with_the_operands():
    a, b = backend("a", linear(INT8)), backend("b", BackendPatternConfig("view"))
    united = unite(a, b)
    assert united.configs[0].dtype_configs[0] is a.configs[0].dtype_configs[0]
    for config in united.configs:
        config.add_dtype_config(HALF)
        config._input_type_to_index["weight"] = 1
    assert a.configs[0].dtype_configs == [INT8] and b.configs[0].dtype_configs == []
    assert a.configs[0]._input_type_to_index == b.configs[0]._input_type_to_index == {}


def test_objects_without_a_name_are_kept():
    def fuse(is_qat, first):
        return first

    a, b = backend("a", linear(INT8)), backend("b", linear(INT8).set_fuser_method(fuse))
    assert unite(a, b).configs[0].fuser_method is fuse
    assert intersect(b, b).configs[0].fuser_method is fuse


def test_script_merges():
    module = torch.jit.CompilationUnit(
        """
        def sizes() -> List[int]:
            backends = torch.classes.qnative.Backends()
            a = backends.get_fbgemm_backend_config()
            b = backends.get_qnnpack_backend_config()
            united = backends.unite(a, b, "error")
            common = backends.intersect(a, b, "error")
            differences = backends.diff(united, a)
            return [len(united.configs), len(common.configs), len(differences)]
        """
    )
    assert module.sizes() == [192, 190, len(diff(ours("fbgemm"), ours("qnnpack"))) - 2]


# ---- laws

DTYPES = [
    DTypeConfig(torch.quint8),
    DTypeConfig(torch.half),
    DTypeConfig(torch.qint8, is_dynamic=True),
]


@st.composite
def backends(draw):
    patterns = ["reshape", "view", nn.Linear, (nn.Linear, nn.ReLU)]
    config = BackendConfig("random")
    for pattern in draw(st.lists(st.sampled_from(patterns), unique=True)):
        dtypes = draw(st.lists(st.sampled_from(range(3)), unique=True))
        row = BackendPatternConfig(pattern).set_dtype_configs([DTYPES[i] for i in dtypes])
        row.set_ops(*[f"op{i}" for i in dtypes])
        row.set_root_module(draw(st.sampled_from([None, nn.Linear])))
        row._set_input_type_to_index(draw(st.sampled_from([{}, {"weight": 1}])))
        config.set_backend_pattern_config(row)
    return config


def same(a: BackendConfig, b: BackendConfig) -> bool:
    """Equal up to the order of rows and of dtypes."""

    def plain(config):
        return {
            str(row.pattern): (
                sorted(zip(map(repr, row.dtype_configs), map(row.op, range(3)), strict=False)),
                row.root_module,
                dict(row._input_type_to_index),
            )
            for row in config.configs
        }

    return plain(a) == plain(b)


@repeatable
@given(backends(), backends(), backends())
def test_laws(a, b, c):
    empty = BackendConfig("random")
    assert unite(a, a) == intersect(a, a) == unite(a, empty) == a
    assert not diff(unite(empty, a), a)
    assert intersect(a, empty) == intersect(empty, a) == empty
    assert same(unite(a, b), unite(b, a)) and same(intersect(a, b), intersect(b, a))
    assert unite(unite(a, b), c) == unite(a, unite(b, c))
    assert intersect(a, unite(a, b)) == a
    assert same(unite(a, intersect(a, b)), a)


@repeatable
@given(backends(), backends())
def test_diff_is_empty_exactly_if_equal(a, b):
    equal = a == b and [row.ops for row in a.configs] == [row.ops for row in b.configs]
    assert (diff(a, b) == ()) == equal
    assert [(d.pattern, d.field) for d in diff(a, a)] == []
    mirrored = {(d.pattern, d.field, d.b, d.a) for d in diff(b, a) if d.field != "order"}
    forms = {(d.pattern, d.field, d.a, d.b) for d in diff(a, b) if d.field != "order"}
    assert mirrored == forms


@pytest.mark.parametrize("first", BACKENDS)
@pytest.mark.parametrize("second", ["native", "onednn", "executorch"])
def test_of_all_backends(first, second):
    a, b = ours(first), ours(second)
    united, common = unite(a, b, "first"), intersect(a, b, "first")
    keys = [set(config._pattern_complex_format_to_config) for config in (a, b, united, common)]
    assert keys[2] == keys[0] | keys[1]
    assert keys[3] <= keys[0] & keys[1]
    assert intersect(a, united, "first").set_name("") == a.set_name("")


# ---- diff


def test_the_structure():
    a = backend("a", linear(INT8, HALF, ops=["x", "y"]), BackendPatternConfig("reshape"))
    b = backend("b", BackendPatternConfig("view"), linear(HALF, ops=["z"]).set_qat_module(nn.ELU))
    b.configs[0].add_dtype_config(HALF)
    assert diff(a, b) == (
        Difference("", "name", "a", "b"),
        Difference(
            "torch.nn.Linear",
            "dtype_configs",
            "quint8 -> quint8, weight qint8, bias float32",
            None,
        ),
        Difference("torch.nn.Linear", "ops", "y", "z"),
        Difference("torch.nn.Linear", "qat_module", None, "torch.nn.ELU"),
        Difference("reshape", "row", "no dtypes", None),
        Difference("view", "row", None, "float16 -> float16"),
    )


def test_order_is_a_difference():
    rows = [BackendPatternConfig("reshape"), BackendPatternConfig("view")]
    assert diff(backend("a", *rows), backend("a", *rows[::-1])) == (
        Difference("", "order", "reshape", "view"),
    )
    a, b = backend("a", linear(INT8, HALF)), backend("a", linear(HALF, INT8))
    assert [(d.pattern, d.field) for d in diff(a, b)] == [("torch.nn.Linear", "dtype_configs")]


def test_the_table_of_a_diff():
    found = diff(backend("a", linear(HALF)), backend("b"))
    assert (
        str(found)
        == found.table()
        == (
            "pattern          field  a                   b\n"
            "---------------  -----  ------------------  -\n"
            "*                name   a                   b\n"
            "torch.nn.Linear  row    float16 -> float16  -\n"
        )
    )
    assert str(diff(backend("a"), backend("a"))) == "no differences\n"


def test_native_is_not_quite_the_union_of_fbgemm_and_qnnpack():
    native, symmetric = get_native_backend_config(), "qint8[scale_min >= 0.000244140625]"
    united = unite(get_fbgemm_backend_config(), get_qnnpack_backend_config()).set_name("native")
    found = diff(united, native)
    more = [d for d in found if d.b is None]
    assert [d.pattern for d in found if d.a is None] == [
        "torch.nn.LayerNorm",
        "torch.nn.functional.layer_norm",
    ]
    assert len(more) == len(found) - 2 == 181
    assert all(d.field == "dtype_configs" and d.a.startswith(symmetric) for d in more)
    assert len(united.configs) == 192
    names = ("weighted_op_qint8_symmetric", "default_op_qint8_symmetric")
    dropped = [getattr(qnnpack, f"qnnpack_{name}_dtype_config") for name in names]
    for config in united.configs:
        config.set_dtype_configs([c for c in config.dtype_configs if c not in dropped])
    assert {d.pattern for d in diff(united, native) if d.field != "ops"} == {
        "torch.nn.LayerNorm",
        "torch.nn.functional.layer_norm",
    }


# ---- tables


def test_the_table_of_a_config():
    dynamic = DTypeConfig(torch.quint8, torch.float, torch.qint8, torch.float, True)
    constrained = DTypeConfig(qnnpack.qnnpack_act_qint8_scale_min_2_neg_12)
    own = backend(
        "mine",
        linear(INT8, dynamic, ops=["linear", "linear_dynamic"]),
        BackendPatternConfig("relu").set_observation_type(SHARED).add_dtype_config(constrained),
        BackendPatternConfig((nn.Linear, nn.ELU)),
        nested((nn.ReLU, nn.Linear)),
    )
    lines = str(own).splitlines()
    assert lines[0] == "mine: 4 patterns, 4 combinations of dtypes"
    assert str(own) == own.table()
    cells = [line.split("  ") for line in lines[2:]]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in cells]
    assert cells[0] == ["pattern", "observer", "input", "output", "weight", "bias", "mode", "op"]
    assert cells[2:] == [
        ["torch.nn.Linear", "own", "quint8", "quint8", "qint8", "float32", "static", "linear"],
        ["quint8", "float32", "qint8", "float32", "dynamic", "linear_dynamic"],
        ["relu", "shared", "qint8[scale_min >= 0.000244140625]", "-", "-", "-", "static"],
        ["(torch.nn.Linear, torch.nn.ELU)", "own", "-", "-", "-", "-", "-"],
        ["nested (torch.nn.ReLU, torch.nn.Linear)", "own", *cells[2][2:7]],
    ]
    assert str(BackendConfig()).startswith("unnamed: 0 patterns, 0 combinations of dtypes\n\npatt")


def test_the_mode_of_weight_only_rows():
    line = next(x for x in ours("native").table().splitlines() if x.endswith(" embedding_8bit"))
    cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
    assert cells[2:] == ["float32", "float32", "quint8", "-", "weight only", "embedding_8bit"]


@pytest.mark.parametrize("name", BACKENDS)
def test_tables_have_a_line_for_each_pair(name):
    _, patterns, pairs = BACKENDS[name]
    lines = ours(name).table().splitlines()
    assert lines[0] == f"{name}: {patterns} patterns, {pairs} combinations of dtypes"
    assert len(lines) == 4 + pairs
    assert sum(not line.startswith(" ") for line in lines[4:]) == patterns
