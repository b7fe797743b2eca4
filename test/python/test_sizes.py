"""``dynamic_shapes``: what is open runs in every deployment with other sizes; what is not is named
in the report with the line that fixed it."""

import io
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.ao import quantization as ao

import qnative
from qnative.backend_config import BackendConfig
from qnative.report import Report, Size
from support.checks import through_trace

pytestmark = pytest.mark.filterwarnings("ignore")  # torch deprecates eager mode, FX and TorchScript


class Image(nn.Module):
    """Any height, width and batch: its sums need even sizes."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
        self.down, self.mix = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, image):
        y = F.interpolate(self.down(self.quant(image)), scale_factor=2.0)
        y = self.mix(y)
        return self.dequant(self.head(F.adaptive_avg_pool2d(y, 1).flatten(1)))


class Text(nn.Module):
    """Any length and batch, as transformers write attention and masks."""

    def __init__(self):
        super().__init__()
        self.embed, self.position = nn.Embedding(50, 16), nn.Embedding(64, 16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 5)

    def forward(self, ids, mask):
        batch, length = ids.shape
        x = self.embed(ids) + self.position(torch.arange(length)[None, :])
        q, k, v = self.qkv(x).view(batch, -1, 3, 2, 8).permute(2, 0, 3, 1, 4)
        scores = (q / 8**0.5) @ k.transpose(2, 3)
        hidden = (mask == 0).view(batch, 1, 1, length).expand_as(scores)
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        y = (scores.softmax(-1) @ v).transpose(1, 2).contiguous().view(batch, -1, 16)
        return self.out(y)


def image(batch, height, width):
    return (torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height)),)


def text(batch, length):
    ids = torch.randint(50, (batch, length), generator=torch.Generator().manual_seed(length))
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[1:, length // 2 :] = 0
    return ids, mask


def quantize(model, inputs, recipe="static", **options):
    data = [inputs] if recipe == "static" else None
    return qnative.quantize(model, inputs, data, recipe=recipe, dynamic_shapes="all", **options)


def fx(model, inputs, recipe):
    from qnative.fx import convert_fx, prepare_fx

    prepared = prepare_fx(model, None, inputs)
    prepared(*inputs)
    return convert_fx(prepared, dynamic_shapes="auto")


def eager(model, inputs, recipe):
    model.qconfig = ao.get_default_qconfig("x86")
    prepared = ao.prepare(model)
    prepared(*inputs)
    return qnative.convert(prepared, inputs, dynamic_shapes="all")


CASES = {
    "image": (Image, image, [(1, 16, 12), (3, 32, 10), (2, 8, 40)], "static", quantize),
    "image, fx": (Image, image, [(2, 16, 12), (3, 32, 10), (1, 8, 40)], "static", fx),
    "image, eager": (Image, image, [(2, 16, 12), (3, 32, 10), (1, 8, 40)], "static", eager),
    "text, static": (Text, text, [(2, 9), (5, 30), (1, 4)], "static", quantize),
    "text, dynamic": (Text, text, [(2, 9), (5, 30), (1, 4)], "dynamic", quantize),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    make, inputs, sizes, recipe, front_end = CASES[request.param]
    torch.manual_seed(0)
    return front_end(make().eval(), inputs(*sizes[0]), recipe), [inputs(*each) for each in sizes]


def check(deployed, model, calls):
    with torch.no_grad():
        for call in calls:
            for got, want in zip(
                torch.utils._pytree.tree_leaves(deployed(*call)),
                torch.utils._pytree.tree_leaves(model(*call)),
                strict=True,
            ):
                assert torch.equal(torch.as_tensor(got), torch.as_tensor(want))


def test_the_report_names_what_is_open(case):
    model, (first, *_) = case
    assert all(size.open or size.dimension == 1 for size in model.report.sizes)
    places = {(size.input, size.dimension) for size in model.report.sizes if size.open}
    wanted = {(0, 2, 3), (0, 1)}
    assert tuple(sorted({dimension for _, dimension in places})) in wanted
    assert {name for name, _ in places} == {"image"} if len(first) == 1 else {"ids", "mask"}
    for size in model.report.sizes:
        assert not size.open or len(size.shown) == 2
        assert str(size) in str(model.report) and size.cells[-1] in model.report.to_html()
    assert Report.from_json(model.report.to_json()) == model.report


def test_trace(case):
    model, calls = case
    check(through_trace(model, calls[1], check_trace=False), model, calls)


def test_export_and_program(case):
    model, calls = case
    auto = torch.export.Dim.AUTO
    opened = [
        {s.dimension: auto for s in model.report.sizes if s.open and s.input == name}
        for name in dict.fromkeys(size.input for size in model.report.sizes)
    ]
    exported = torch.export.export(model, calls[1], dynamic_shapes=tuple(opened))
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    loaded = torch.export.load(file)
    check(loaded.module(), model, calls)
    check(qnative.Program(loaded), model, calls)


def test_save(case, tmp_path):
    model, calls = case
    qnative.save(model, tmp_path / "model.pt2", calls[0], dynamic_shapes="all")
    check(qnative.Program.load(tmp_path / "model.pt2"), model, calls)


def test_errors_of_save(tmp_path):
    model, path = nn.Linear(2, 2), tmp_path / "model.pt2"
    with pytest.raises(ValueError, match=r"save: dynamic_shapes must be one of .* got 'any'"):
        qnative.save(model, path, (torch.ones(2, 2),), dynamic_shapes="any")
    with pytest.raises(ValueError, match="'all' takes positional arguments alone"):
        qnative.save(model, path, (), {"input": torch.ones(2, 2)}, dynamic_shapes="all")
    assert not path.exists()


def test_compile(case):
    model, calls = case
    torch._dynamo.reset()
    check(torch.compile(model, dynamic=True, fullgraph=True, backend="eager"), model, calls)


class Speech(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.rnn, self.head = cell(8, 6, 2, batch_first=True, bidirectional=True), nn.Linear(12, 3)

    def forward(self, frames):
        y = self.rnn(frames)[0]
        return self.head(y)


def frames(batch, length):
    return (torch.randn(batch, length, 8, generator=torch.Generator().manual_seed(length)),)


@pytest.mark.parametrize("recipe", ["static", "dynamic"])
@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
def test_recurrent_layers_take_any_length(cell, recipe):
    """torch.export alone fixes it."""
    torch.manual_seed(0)
    model = quantize(Speech(cell).eval(), frames(2, 7), recipe)
    calls = [frames(2, 7), frames(1, 20), frames(4, 3)]
    assert [size.open for size in model.report.sizes] == [True, True, False]
    check(through_trace(model, calls[0], check_trace=False), model, calls)
    shapes = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
    exported = torch.export.export(model, calls[0], dynamic_shapes=shapes)
    check(exported.module(), model, calls)
    check(qnative.Program(exported), model, calls)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_that_stay_float(cell):
    """torch fixes their length in the exported form; a call and a trace take any."""
    torch.manual_seed(0)
    config = BackendConfig("none")
    model = quantize(Speech(cell).eval(), frames(2, 7), "dynamic", backend_config=config)
    batch, length, _ = model.report.sizes
    assert batch.open and not length.open
    assert length.reason.startswith("its exported form with size 8 fails: Guard failed")
    calls = [frames(2, 7), frames(1, 20), frames(4, 3)]
    check(through_trace(model, calls[0], check_trace=False), model, calls)
    ops = {node.target for node in model.graph.nodes}
    assert not any("qnative_export" in str(op) for op in ops)


# ---- what cannot be open -------------------------------------------------------------------------


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x, pair, *rest, scale=None):
        y = self.first(x)
        z = pair["a"].view(-1, 2, 5)  # fixes its length
        return self.last(y), z * 2, [each + 1 for each in rest]


def test_reasons():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6)
    inputs = (x, {"a": torch.randn(2, 10), "b": 3}, torch.randn(1, 7), torch.randn(4))
    model = quantize(Fixed().eval(), inputs)
    sizes = {(size.input, size.dimension): size for size in model.report.sizes}
    opened = {place for place, size in sizes.items() if size.open}
    assert opened == {("x", 0), ("x", 1), ("pair['a']", 0), ("rest[0]", 0), ("rest[0]", 1),
                      ("rest[1]", 0)}  # fmt: skip
    linear, view = sizes["x", 2], sizes["pair['a']", 1]
    assert "test_sizes.py:" in linear.reason and linear.reason.endswith("y = self.first(x)")
    assert view.reason.endswith('z = pair["a"].view(-1, 2, 5)  # fixes its length')
    assert view.size == 10 and "pair['a'], dimension 1, size 10: fixed: by " in str(model.report)
    assert sizes["rest[0]", 0].size == 2  # of the doubled example


def test_a_size_of_one_stays_fixed_and_says_so():
    model = quantize(nn.Linear(6, 6).eval(), (torch.randn(3, 1, 6),))
    (size,) = (size for size in model.report.sizes if size.dimension == 1)
    assert size == Size("input", 1, 1, reason="the example's size is 1: give one of 2 or more")


def test_a_model_that_is_not_exported_with_all_sizes_open(monkeypatch):
    from qnative.graph import export as module

    real = torch.export.export

    def refuses_width(model, inputs, *, dynamic_shapes=None, **options):
        flat = torch.utils._pytree.tree_leaves(dynamic_shapes)
        if (
            isinstance(model, Image)
            and dynamic_shapes
            and len(flat)
            and 3 in (dynamic_shapes["image"] or {})
        ):
            raise RuntimeError("no width\nof any kind")
        return real(model, inputs, dynamic_shapes=dynamic_shapes, **options)

    monkeypatch.setattr(module.torch.export, "export", refuses_width)
    torch.manual_seed(0)
    model = quantize(Image().eval(), image(1, 16, 12))
    assert [size.open for size in model.report.sizes] == [True, False, True, False]
    reason = model.report.sizes[3].reason
    assert "test_sizes.py:" in reason and reason.endswith(": no width")


def test_a_form_that_fails_is_not_open(monkeypatch):
    """What counts is a call, not what export promised."""
    lower = sys.modules["qnative.lowering.lower"]
    monkeypatch.setattr(lower, "keep_sizes_open", lambda graph: None)
    torch.manual_seed(0)
    model = quantize(Text().eval(), text(2, 9), "dynamic")
    assert not any(size.open for size in model.report.sizes)
    assert all(size.reason.startswith("a trace with size") for size in model.report.sizes)


def test_names_and_errors():
    with pytest.raises(ValueError, match=r"one of batch, all, auto, None or .* got 'every'"):
        qnative.quantize(nn.Linear(2, 2), (torch.ones(2, 2),), [], dynamic_shapes="every")
    report = qnative.dry_run(Image(), image(1, 16, 12), dynamic_shapes="all")
    assert [size.open for size in report.sizes] == [True, False, True, True]
    assert not any(size.shown for size in report.sizes)


@pytest.mark.parametrize("dynamic_shapes", ["batch", "all"])
def test_saved_files_leave_open_what_quantize_left_open(tmp_path, dynamic_shapes):
    torch.manual_seed(0)
    example = text(2, 9)
    model = qnative.quantize(
        Text().eval(), example, recipe="dynamic", dynamic_shapes=dynamic_shapes
    )
    ids, mask = text(1, 9)  # torch.export takes a size of 1 for fixed
    for args, kwargs in (((ids, mask), {}), ((), {"mask": mask, "ids": ids})):
        qnative.save(model, tmp_path / "model.pt2", args, kwargs)
        program = qnative.Program.load(tmp_path / "model.pt2")
        length = 12 if dynamic_shapes == "all" else 9
        for batch in (1, 3):
            inputs = text(batch, length)
            assert torch.equal(program(*inputs), model(*inputs))


def test_saving_doubles_a_size_of_one_and_no_other(tmp_path):
    torch.manual_seed(0)
    model = qnative.quantize(Text().eval(), text(2, 9), recipe="dynamic", dynamic_shapes="all")
    exported = qnative.save(model, tmp_path / "model.pt2", text(1, 50))
    assert [tuple(x.shape) for x in exported.example_inputs[0]] == [(2, 50), (2, 50)]
    program = qnative.Program.load(tmp_path / "model.pt2")
    assert torch.equal(program(*text(3, 64)), model(*text(3, 64)))  # all positions that it has


def test_saving_with_sizes_of_ones_own(tmp_path):
    torch.manual_seed(0)
    model = qnative.quantize(Text().eval(), text(2, 9), recipe="dynamic", dynamic_shapes="all")
    qnative.save(model, tmp_path / "fixed.pt2", text(2, 9), dynamic_shapes=None)
    program = qnative.Program.load(tmp_path / "fixed.pt2")
    assert torch.equal(program(*text(2, 9)), model(*text(2, 9)))
    with pytest.raises(ValueError, match=r"\[2, 9\].*\[3, 9\]"):
        program(*text(3, 9))


def test_saving_a_model_without_a_report_fixes_its_sizes(tmp_path):
    qnative.save(nn.Linear(3, 2).eval(), tmp_path / "float.pt2", (torch.ones(2, 3),))
    with pytest.raises(ValueError, match=r"\[2, 3\].*\[4, 3\]"):
        qnative.Program.load(tmp_path / "float.pt2")(torch.ones(4, 3))
