"""BackendConfig.to_json, from_json and the schema."""

import copy
import json
import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    DTypeWithConstraints,
    diff,
)
from qnative.backend_config._wrapper import dtypes_by_number
from support.configs import BACKENDS, full_config, int8, ours
from support.strategies import repeatable

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "docs/backend_config.schema.json").read_text())
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def conforms(value, schema) -> bool:
    """Whether a value is valid by the keywords of JSON Schema that the schema uses."""
    known = {"$ref", "$schema", "$id", "$defs", "title", "description", "type", "properties"}
    known |= {"required", "additionalProperties", "items", "enum", "const", "oneOf", "minItems"}
    known |= {"maxItems", "minLength", "patternProperties", "anyOf"}
    assert schema.keys() <= known, schema.keys() - known
    if "$ref" in schema:
        return conforms(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")])
    if "type" in schema:
        wanted = TYPES[schema["type"]]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            return False
    options = [conforms(value, option) for option in schema.get("oneOf", ())]
    alternatives = [conforms(value, option) for option in schema.get("anyOf", ())]
    valid = value == schema.get("const", value) and value in schema.get("enum", [value])
    valid = valid and (not options or options.count(True) == 1)
    valid = valid and (not alternatives or any(alternatives))
    if isinstance(value, dict):
        own = schema.get("properties", {})
        matched = schema.get("patternProperties", {})
        rest = schema.get("additionalProperties", {})
        for key, item in value.items():
            found = [own[key]] if key in own else []
            found += [other for regex, other in matched.items() if re.search(regex, key)]
            if not found:
                found = [] if rest is not False and not rest else [rest]
            valid = valid and all(one is not False and conforms(item, one) for one in found)
        valid = valid and all(key in value for key in schema.get("required", ()))
    if isinstance(value, list):
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        valid = valid and least <= len(value) <= most
        valid = valid and all(conforms(item, schema.get("items", {})) for item in value)
    if isinstance(value, str):
        valid = valid and len(value) >= schema.get("minLength", 0)
    return valid


def backend(*configs: BackendPatternConfig) -> BackendConfig:
    return BackendConfig("mine").set_backend_pattern_configs(configs)


def row(**fields) -> dict:
    """A JSON row with one value added, or, for None, removed."""
    config = {
        "pattern": "torch.nn.Linear",
        "observation_type": "OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT",
        "dtype_configs": [{"input_dtype": {"dtype": "quint8"}}],
    } | fields
    return {key: value for key, value in config.items() if value is not None}


def document(*rows, **fields) -> str:
    items = {"version": 1, "name": "mine", "configs": list(rows)} | fields
    return json.dumps({key: value for key, value in items.items() if value is not None})


@pytest.mark.parametrize("name", BACKENDS)
def test_there_and_back(name):
    config = ours(name)
    text = config.to_json()
    again = BackendConfig.from_json(text)
    assert again == config and not diff(again, config)
    assert again.to_json() == text == ours(name).to_json()
    assert conforms(json.loads(text), SCHEMA)
    assert again.to_dict(with_ops=True) == config.to_dict(with_ops=True)


def test_every_field():
    constraints = DTypeWithConstraints(torch.quint8, 0, 254.5, 1e-6, 1.0, 2**-53, 7)
    config = full_config().add_dtype_config(
        DTypeConfig(constraints, None, DTypeWithConstraints(None, -0.0), torch.half, False)
    )
    nested = (
        BackendPatternConfig()
        ._set_pattern_complex_format((nn.ReLU, (nn.BatchNorm2d, nn.Conv2d, nn.ELU, nn.PReLU)))
        .set_ops("a")
    )
    own = backend(config.set_ops("linear", "free"), nested, BackendPatternConfig("reshape"))
    again = BackendConfig.from_json(own.to_json())
    assert again == own and [c.ops for c in again.configs] == [c.ops for c in own.configs]
    assert conforms(json.loads(own.to_json()), SCHEMA)
    bound = again.configs[0].dtype_configs[1].input_dtype_with_constraints
    assert isinstance(bound.quant_min_lower_bound, int)
    assert isinstance(bound.scale_max_upper_bound, float)


def test_the_text():
    config = BackendPatternConfig((nn.Linear, nn.ReLU)).add_dtype_config(int8()).set_ops("linear")
    assert backend(config).to_json() == (
        "{\n"
        '  "version": 1,\n'
        '  "name": "mine",\n'
        '  "configs": [\n'
        "    {\n"
        '      "pattern": ["torch.nn.Linear", "torch.nn.ReLU"],\n'
        '      "observation_type": "OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT",\n'
        '      "dtype_configs": [\n'
        '        {"input_dtype": {"dtype": "quint8"}, "output_dtype": {"dtype": "quint8"}, '
        '"weight_dtype": {"dtype": "qint8"}, "bias_dtype": "float32"}\n'
        "      ],\n"
        '      "ops": ["linear"]\n'
        "    }\n"
        "  ]\n"
        "}\n"
    )
    assert json.loads(BackendConfig("").to_json()) == {"version": 1, "name": "", "configs": []}


def test_one_more_dtype_config_is_one_more_line():
    config = BackendPatternConfig(nn.Linear).add_dtype_config(int8())
    before = backend(config).to_json().splitlines()
    after = backend(config.add_dtype_config(DTypeConfig(torch.half))).to_json().splitlines()
    assert len(after) == len(before) + 1
    # The previous line gets a comma.
    assert len(set(before) - set(after)) == 1


# All dtypes of the torch that the library was built for.
@pytest.mark.parametrize("dtype", sorted(dtypes_by_number().values(), key=str))
def test_every_dtype(dtype):
    config = backend(BackendPatternConfig("a").add_dtype_config(DTypeConfig(dtype)))
    assert f'"dtype": "{str(dtype).removeprefix("torch.")}"' in config.to_json()
    assert BackendConfig.from_json(config.to_json()) == config


def test_script_reads_and_writes():
    text = backend(full_config().set_ops("linear")).to_json()
    module = torch.jit.CompilationUnit(
        """
        def again(text: str) -> str:
            return torch.classes.qnative.BackendConfig().from_json(text).to_json()
        """
    )
    assert module.again(text) == text


OBSERVATION = "observation_type: wanted the name of an ObservationType, such as 'OUTPUT_USE_DIFFER"
BAD_ROWS = [
    (row(pattern=None), "pattern: wanted a name or an array of patterns, got nothing"),
    (row(pattern=3), "pattern: wanted a name or an array of patterns, got 3"),
    (row(pattern=""), "pattern: wanted a name, got ''"),
    (row(pattern=["a"]), "pattern: wanted an array of 2 or 3, got 1"),
    (row(pattern=["a", "b", "c", "d"]), "pattern: wanted an array of 2 or 3, got 4"),
    (row(pattern=["a", []]), "pattern[1]: wanted an array with elements, got []"),
    (row(pattern=["a", None]), "pattern[1]: wanted a name or an array of patterns, got null"),
    (
        row(pattern_complex_format="a"),
        "pattern_complex_format: only one of 'pattern' and this can be set",
    ),
    (row(pattern="torch.nn.Linearr"), "pattern: no object is named 'torch.nn.Linearr'"),
    (row(root_module="torch.nn.Conv9d"), "root_module: no object is named 'torch.nn.Conv9d'"),
    (row(observation_type=None), OBSERVATION),
    (row(observation_type=1), OBSERVATION),
    (row(observation_type="own"), OBSERVATION),
    (row(dtype_configs=None), "dtype_configs: wanted an array of DTypeConfigs, got nothing"),
    (row(dtype_configs={}), "dtype_configs: wanted an array of DTypeConfigs, got an object"),
    (row(dtype_configs=[1]), "dtype_configs[0]: wanted an object, got 1"),
    (row(root_module=True), "root_module: wanted the name of a Python object, got true"),
    (row(root=1), "root: there is no such field; there are pattern, pattern_complex_format, "),
    (
        row(num_tensor_args_to_observation_type={"01": "x"}),
        "num_tensor_args_to_observation_type.01: wanted a number of tensors as the name of the",
    ),
    (
        row(num_tensor_args_to_observation_type={"1": "x"}),
        "num_tensor_args_to_observation_type.1: wanted the name of an ObservationType",
    ),
    (row(input_type_to_index={"weight": 1.5}), "input_type_to_index.weight: wanted an integer, go"),
    (row(ops="a"), "ops: wanted an array of names, got 'a'"),
    (row(ops=[None]), "ops[0]: wanted the name of an op, got null"),
    (row(ops=["a", "b"]), "ops: wanted one op, or one for each DTypeConfig, got 2 for 1"),
]
BAD_DTYPES = [
    ({"input_dtype": {"dtype": "foo"}}, "input_dtype.dtype: wanted the name of a dtype, such as '"),
    ({"input_dtype": {"dtype": "float"}}, "input_dtype.dtype: wanted the name of a dtype, such as"),
    ({"input_dtype": {"dtype": 13}}, "input_dtype.dtype: wanted the name of a dtype, such as '"),
    ({"output_dtype": "quint8"}, "output_dtype: wanted an object, got 'quint8'"),
    ({"weight_dtype": {"min": 1}}, "weight_dtype.min: there is no such field; there are dtype, q"),
    (
        {"weight_dtype": {"quant_min_lower_bound": "1"}},
        "weight_dtype.quant_min_lower_bound: wanted a number, got '1'",
    ),
    (
        {"weight_dtype": {"zero_point_exact_match": 1.0}},
        "weight_dtype.zero_point_exact_match: wanted an integer, got 1.0",
    ),
    ({"bias_dtype": "float"}, "bias_dtype: wanted the name of a dtype, such as 'quint8', got 'fl"),
    ({"is_dynamic": 1}, "is_dynamic: wanted true or false, got 1"),
    ({"dynamic": True}, "dynamic: there is no such field; there are input_dtype, output_dtype, "),
]
BAD_ROWS += [
    (row(dtype_configs=[{}, value]), f"dtype_configs[1].{message}") for value, message in BAD_DTYPES
]
# Beyond the schema: counts that depend on each other, and names that torch has.
BEYOND_SCHEMA = ("no object is named", "one op, or one for each")


@pytest.mark.parametrize("wrong, message", BAD_ROWS)
def test_a_bad_row_is_named_with_the_field(wrong, message):
    text = document(row(pattern="reshape"), wrong)
    with pytest.raises(ValueError) as error:
        BackendConfig.from_json(text)
    assert str(error.value).startswith(f"qnative: from_json: configs[1].{message}")
    assert conforms(json.loads(text), SCHEMA) == any(part in message for part in BEYOND_SCHEMA)


@pytest.mark.parametrize(
    "text, message",
    [
        (document(version=2, more=1), "version: wanted 1, got 2"),
        (document(version=1.0), "version: wanted 1, got 1.0"),
        (document(version=None), "version: wanted 1, got nothing"),
        (document(name=None), "name: wanted a name, got nothing"),
        (document(name=7), "name: wanted a name, got 7"),
        (document(configs=None), "configs: wanted an array of rows, got nothing"),
        (document(more=1), "more: there is no such field; there are version, name, configs"),
        (document(3), "configs[0]: wanted an object, got 3"),
        ("[]", "the text: wanted an object, got an array"),
        (document(row(), row()), "configs[1].pattern: another row has the pattern torch.nn.Linear"),
        ("", "line 1, column 1: wanted a value, got the end of the text"),
        ('{\n "a" 1}', "line 2, column 6: wanted ':', got '1'"),
        ('{"a": 1, "a": 2}', "line 1, column 10: wanted a name that no other member of the object"),
        ('{"a": 1,}', "line 1, column 9: wanted the name of a member, got '}'"),
        ('{"a": [1,]}', "line 1, column 10: wanted a value, got ']'"),
        ('{"a": 01}', "line 1, column 8: wanted ',' or '}', got '1'"),
        ('{"a": 1e999}', "line 1, column 7: wanted a number that a double can hold, got '1'"),
        (f'{{"a": {2**63}}}', "line 1, column 7: wanted an integer of 64 bits, got '9'"),
        ('{"a": NaN}', "line 1, column 7: wanted a value, got 'N'"),
        ('{"a": "\n"}', "line 1, column 8: wanted '\"', got byte 10"),
        (r'{"a": "\x"}', "line 1, column 9: wanted an escape: one of \"\\/bfnrtu, got 'x'"),
        (r'{"a": "\ud800"}', "line 1, column 14: wanted the second half of a surrogate pair, got"),
        (r'{"a": "\udc00"}', "line 1, column 14: wanted the first half of a surrogate pair, got"),
        ("[" * 70, "line 1, column 66: wanted at most 64 levels of arrays and objects, got '['"),
        (
            document() + "x",
            f"line 1, column {len(document()) + 1}: wanted the end of the text, got",
        ),
    ],
)
def test_a_bad_text_is_refused(text, message):
    with pytest.raises(ValueError) as error:
        BackendConfig.from_json(text)
    assert str(error.value).startswith(f"qnative: from_json: {message}")


def test_only_text_is_json():
    with pytest.raises(TypeError, match="text should be a str, got b"):
        BackendConfig.from_json(b"{}")


def half_built() -> BackendConfig:
    config = backend(BackendPatternConfig("reshape"), BackendPatternConfig("view"))
    config.configs[1].set_pattern(None)
    return config


def renamed() -> BackendConfig:
    config = backend(BackendPatternConfig("reshape"), BackendPatternConfig("view"))
    config.configs[1].set_pattern((nn.Linear, nn.ReLU))
    return config


def wrong_tuple() -> BackendConfig:
    config = backend(BackendPatternConfig("reshape"), BackendPatternConfig("view"))
    config.configs[1].set_pattern((nn.Linear, nn.ReLU, nn.ELU, nn.ELU))
    return config


def with_bound(value: float) -> BackendPatternConfig:
    dtype = DTypeWithConstraints(torch.quint8, scale_max_upper_bound=value)
    return BackendPatternConfig(nn.ReLU).add_dtype_config(DTypeConfig(None, dtype))


@pytest.mark.parametrize(
    "config, message",
    [
        (half_built(), "configs[1].pattern: wanted a pattern, got none"),
        (
            renamed(),
            "configs[1].pattern: wanted that under which the config stands, view, got (torch.nn.",
        ),
        (
            wrong_tuple(),
            "configs[1].pattern: wanted a tuple of 2 or 3 elements, got (torch.nn.Linear, torch.nn",
        ),
        (
            backend(BackendPatternConfig("view").set_ops("a", "b")),
            "configs[0].ops: wanted one op, or one for each DTypeConfig, got 2 for 0",
        ),
        (
            backend(with_bound(math.inf)),
            "configs[0].dtype_configs[0].output_dtype.scale_max_upper_bound: wanted a finite num",
        ),
        (
            backend(BackendPatternConfig("view"), with_bound(math.nan)),
            "configs[1].dtype_configs[0].output_dtype.scale_max_upper_bound: wanted a finite num",
        ),
        (
            backend(BackendPatternConfig("view").set_fuser_method(lambda is_qat, x: x)),
            "configs[0].fuser_method: wanted an object that can be found by name, got <function",
        ),
    ],
)
def test_unreadable_configs_are_not_written(config, message):
    with pytest.raises(ValueError) as error:
        config.to_json()
    assert str(error.value).startswith(f"qnative: to_json: {message}")


# ---- the parser against Python's

NAMES = st.text(st.characters(codec="utf-8"), max_size=8)


@repeatable
@given(NAMES, st.sampled_from([True, False]))
def test_texts_survive(name, ascii_only):
    config = BackendConfig(name)
    assert json.loads(config.to_json())["name"] == name
    text = json.dumps({"version": 1, "name": name, "configs": []}, ensure_ascii=ascii_only)
    assert BackendConfig.from_json(text).name == name


@repeatable
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1))
def test_numbers_survive(number):
    dtype = DTypeWithConstraints(torch.quint8, quant_min_lower_bound=number)
    config = backend(BackendPatternConfig("a").add_dtype_config(DTypeConfig(dtype)))
    text = config.to_json()
    read = json.loads(text)["configs"][0]["dtype_configs"][0]["input_dtype"]
    assert repr(read["quant_min_lower_bound"]) == repr(number)
    again = BackendConfig.from_json(text).configs[0].dtype_configs[0].input_dtype_with_constraints
    assert repr(again.quant_min_lower_bound) == repr(number)


TEXT = backend(full_config().set_ops("é")).to_json()


@repeatable
@given(st.integers(0, len(TEXT) - 1), st.sampled_from('{}[],:"\\0-e.xé \n'), st.booleans())
def test_damaged_text_never_crashes_and_is_read_only_if_python_reads_it(place, character, insert):
    text = TEXT[:place] + character + TEXT[place + (not insert) :]
    try:
        json.loads(text)
        is_json = True
    except ValueError:
        is_json = False
    try:
        BackendConfig.from_json(text)
    except ValueError as error:
        assert is_json or re.match(r"qnative: from_json: line \d+, column \d+: ", str(error))
    else:
        assert is_json


# ---- documents with one value, name or element changed

ODD = [None, True, 0, -1, 2**63 - 1, 2**63, 1.5, "", "x", "quint8", "torch.nn.ReLU", [], {}, [None]]
ODD += [
    ["a", "b"],
    ["a", ["b", "c"]],
    {"dtype": "qint8"},
    {"1": "OUTPUT_SHARE_OBSERVER_WITH_INPUT"},
]
# Beyond the schema.
BEYOND_SCHEMA += (
    "another row has the pattern",
    "an integer of 64 bits",
    "got '9223372036854775808'",
)


def places(value, path=()):
    """Every place in a document, and one after the last element of every array and object."""
    if isinstance(value, dict):
        yield (*path, "another")
        for key, item in value.items():
            yield (*path, key)
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        yield (*path, len(value))
        for i, item in enumerate(value):
            yield (*path, i)
            yield from places(item, (*path, i))


def every_field() -> dict:
    constraints = DTypeWithConstraints(torch.quint8, 0, 254.5, 1e-6, 1.0, 2**-53, 7)
    full = full_config().add_dtype_config(DTypeConfig(constraints, None, None, None, False))
    nested = BackendPatternConfig()._set_pattern_complex_format((nn.ReLU, (nn.ELU, nn.Conv2d)))
    rows = (full.set_ops("linear", "free"), nested, BackendPatternConfig("reshape").set_ops("free"))
    return json.loads(backend(*rows).to_json())


DOCUMENT = every_field()
PLACES = list(places(DOCUMENT))


@repeatable
@given(st.sampled_from(PLACES), st.sampled_from(ODD), st.sampled_from(["set", "delete", "rename"]))
def test_the_reader_accepts_what_the_schema_allows(place, value, how):
    *path, last = place
    document = copy.deepcopy(DOCUMENT)
    owner = document
    for key in path:
        owner = owner[key]
    there = last in owner if isinstance(owner, dict) else last < len(owner)
    if isinstance(owner, list) and not there:
        owner.append(value)
    elif how == "set" or not there:
        owner[last] = value
    elif how == "rename" and isinstance(owner, dict):
        owner[str(value)] = owner.pop(last)
    else:
        del owner[last]
    text, allowed = json.dumps(document), conforms(document, SCHEMA)
    try:
        config = BackendConfig.from_json(text)
    except ValueError as error:
        message = str(error)
        assert not allowed or any(part in message for part in BEYOND_SCHEMA), message
        # The error names the changed place, or a missing or repeated name there.
        if path[:1] == ["configs"] and "line " not in message:
            assert re.match(r"qnative: from_json: configs(\[\d\]|:)", message), message
    else:
        assert allowed, text
        assert BackendConfig.from_json(config.to_json()) == config
