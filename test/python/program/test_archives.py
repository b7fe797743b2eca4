"""Files that are damaged, of another kind or version, or that need what is not there."""

import io
import json
import random
import zipfile

import pytest
import torch
from torch import nn

import qnative
from support import programs

CASES = programs.cases()
load_bytes = torch.classes.qnative.Program.load_bytes


def archive(name="constants"):
    case = CASES[name]
    exported = torch.export.export(
        case.model, case.args, case.kwargs, dynamic_shapes=case.dynamic_shapes
    )
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def records(data):
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {info.filename.split("/", 1)[1]: file.read(info) for info in file.infolist()}


def pack(contents, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in contents.items():
            file.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def load(data):
    return load_bytes(torch.frombuffer(bytearray(data), dtype=torch.uint8), "")


MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"


def edited(record, change, name="constants"):
    contents = records(archive(name))
    value = json.loads(contents[record])
    change(value)
    contents[record] = json.dumps(value).encode()
    return pack(contents)


def refused(data, message):
    with pytest.raises(ValueError, match=message):
        load(data)


def test_records_that_are_not_aligned():
    """Weights are then copied."""
    contents = records(archive())
    x = CASES["constants"].args[0]
    expected = load(archive()).run([x])
    for shift in range(3):
        data = pack({"a" * (shift + 1): b"x" * shift, **contents})
        assert all(torch.equal(a, b) for a, b in zip(expected, load(data).run([x]), strict=True))


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        qnative.Program.load(tmp_path / "model.pt2")
    with pytest.raises(ValueError, match="is not a file"):
        qnative.Program.load(tmp_path)
    (tmp_path / "empty.pt2").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.pt2: is empty"):
        qnative.Program.load(tmp_path / "empty.pt2")


def test_other_kinds_of_files(tmp_path):
    path = tmp_path / "model.pt"
    model = nn.Linear(2, 2)
    torch.jit.script(model).save(path)
    with pytest.raises(ValueError, match=r"model\.pt: is a TorchScript file: load it with torch::"):
        qnative.Program.load(path)
    torch.save(model.state_dict(), path)
    with pytest.raises(ValueError, match=r"is a file of torch\.save"):
        qnative.Program.load(path)
    path.write_text("no zip file")
    with pytest.raises(ValueError, match=r"is no archive of torch\.export\.save"):
        qnative.Program.load(path)
    refused(pack({"version": b"6"}), "has no record 'archive_format'")
    package = {"version": b"6", "archive_format": b"pt2", "data/aotinductor/model/a.so": b""}
    refused(pack(package), "package of AOTInductor")


def test_other_versions():
    def set_major(major):
        return lambda model: model["schema_version"].update(major=major)

    refused(edited(MODEL, set_major(9)), r"schema version 9\.\d+ of torch .*use a newer qnative")
    refused(edited(MODEL, set_major(7)), r"schema version 7\.\d+ of torch .*save the model again")


def test_members_of_newer_versions_are_ignored():
    def add(model):
        model["new"] = {"a": [1]}
        model["graph_module"]["graph"]["nodes"][0]["new"] = None

    load(edited(MODEL, add))


def test_unknown_kinds():
    def rename(model):
        node = next(n for n in model["graph_module"]["graph"]["nodes"] if n["name"] == "linear")
        node["inputs"][1]["arg"] = {"as_future": {"name": "x"}}

    refused(
        edited(MODEL, rename),
        r"node 'linear' \(torch\.ops\.aten\.linear\.default\): argument 'weight': an argument of "
        r"kind 'as_future' is not supported",
    )


def test_operators_that_are_not_registered():
    def rename(model):
        nodes = model["graph_module"]["graph"]["nodes"]
        nodes[0]["target"] = "torch.ops.mine.first.default"
        nodes[1]["target"] = "torch.ops.yours.second.out"

    refused(
        edited(MODEL, rename),
        r"registered: 'mine::first', 'yours::second\.out'\. Load the library of 'mine', 'yours'",
    )


def test_pickled_weights():
    def pickled(config):
        config["config"]["weight"].update(use_pickle=True)

    refused(edited(WEIGHTS, pickled), "tensor 'weight': 'weight_0' is a pickled object")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [{"as_int": 2**62}, {"as_int": 2**40}]}, "overflow"),
        ({"sizes": [{"as_int": 6}, {"as_int": 4000}]}, "needs .* bytes, record .* has 96"),
        ({"strides": [{"as_int": -4}, {"as_int": 1}]}, "strides: -4 is negative"),
        ({"strides": [{"as_int": 4}]}, "has 2 sizes, 1 strides"),
        ({"storage_offset": {"as_int": 1}}, "needs 100 bytes"),
        ({"storage_offset": {"as_int": -1}}, "storage_offset -1 is negative"),
        ({"storage_offset": {"as_int": 2**63 - 1}}, "overflow"),
        ({"dtype": 99}, "dtype code 99 is not known"),
        ({"dtype": 2}, "the graph wants Float .* the archive has Char"),
        ({"sizes": [{"as_int": 4}, {"as_int": 4}]}, "the graph wants Float .* the archive has"),
        ({"device": {"type": "cuda", "index": 0}}, "device 'cuda': programs run on the CPU"),
        ({"layout": 1}, "is not a strided tensor"),
    ],
)
def test_weights(change, message):
    def update(config):
        config["config"]["weight"]["tensor_meta"].update(change)

    refused(edited(WEIGHTS, update), f"tensor 'weight': .*{message}")


def test_missing_records():
    contents = records(archive())
    for name in (WEIGHTS, "data/weights/weight_0"):
        refused(pack({k: v for k, v in contents.items() if k != name}), f"record '{name}'")


def test_compressed_records():
    refused(pack(records(archive()), zipfile.ZIP_DEFLATED), "is compressed")


def test_several_models(tmp_path):
    x = torch.randn(2, 2)
    exported = {
        name: torch.export.export(programs.Function(function), (x,))
        for name, function in {"first": torch.relu, "second": torch.neg}.items()
    }
    path = tmp_path / "models.pt2"
    torch.export.pt2_archive._package.package_pt2(str(path), exported_programs=exported)
    assert torch.equal(qnative.Program.load(path, "second")(x), -x)
    with pytest.raises(ValueError, match=r"has no model 'model'; its models are first second"):
        qnative.Program.load(path)


def outcome(data, x):
    """The outputs; None for a file that is refused."""
    try:
        return load(data).run([x])
    except ValueError as error:
        assert "qnative::Program: " in str(error)
        return None


def test_damaged_archives():
    """A damaged file is refused, or the damage is where nothing is read: never another result."""
    generator = random.Random(0)
    data = archive()
    x = CASES["constants"].args[0]
    expected = load(data).run([x])
    other = archive("residual")
    refusals = 0
    for _ in range(300):
        mutated = bytearray(data)
        at = generator.randrange(len(data))
        kind = generator.choice(["bit", "bit", "truncate", "splice", "remove"])
        if kind == "bit":
            mutated[at] ^= 1 << generator.randrange(8)
        elif kind == "truncate":
            del mutated[at:]
        elif kind == "remove":
            del mutated[at : at + generator.randrange(1, 200)]
        else:
            start = generator.randrange(len(other))
            piece = other[start : start + generator.randrange(1, 500)]
            mutated[at : at + len(piece)] = piece
        got = outcome(mutated, x)
        refusals += got is None
        if got is not None:
            torch.testing.assert_close(got, expected, rtol=0, atol=0)
    assert refusals > 150


def values_of(value):
    """(container, key) of every value of a JSON text."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in list(items):
        yield value, key
        if isinstance(child, (dict, list)):
            yield from values_of(child)


def test_texts_that_are_wrong():
    """Records with right checksums and wrong contents: an error, or another program."""
    generator = random.Random(0)
    replacements = [None, True, -1, 0, 3, 2**62, 1.5, "", "x", [], {}, {"as_int": 1}]
    for name in ("constants", "cond", "arithmetic", "while_loop"):
        contents = records(archive(name))
        for record in (MODEL, WEIGHTS):
            text = contents[record].decode()
            for _ in range(60):
                value = json.loads(text)
                places = [p for p in values_of(value) if p[1] not in ("stack_trace", "metadata")]
                container, key = generator.choice(places)
                if generator.random() < 0.3:
                    del container[key]
                else:
                    container[key] = generator.choice(replacements)
                try:
                    load(pack({**contents, record: json.dumps(value).encode()}))
                except ValueError as error:
                    assert "qnative::Program: " in str(error)
