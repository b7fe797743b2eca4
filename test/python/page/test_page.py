"""The page of a report, in a browser."""

import re

import pytest
import torch
from torch import nn

import qnative
from qnative.page import LIMIT, Edge, Line, Page, render
from qnative.report import Output, Report, Row
from support.browser import dump, evaluate

ROWS = [
    Row("conv", "body.0.conv", "aten.conv2d", "quantized", "qnative.conv2d", "", 400, 120, ["x"]),
    Row("relu", "body.0.relu", "aten.relu", "fused", "", "activation of conv", inputs=["conv"]),
    Row("cumsum", "body.1", "aten.cumsum", "float", "", "no row for it", inputs=["relu"]),
    Row("fc", "head.fc", "aten.linear", "quantized", "qnative.linear", "", 90, 30, ["cumsum"]),
]
# A name that would run script in an element, in an attribute and in a script.
EVIL = "\"'><img src=x onerror=\"document.title='stolen'\"></script><script>document.title='stolen'\
</script>"
VISIBLE = """
const visible = () => [...document.querySelectorAll("#nodes tr")]
    .filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
"""


@pytest.fixture
def page():
    edges = [Edge("conv", "uint8", 0.1, 3, -0.3, 25.2, -1.0, 30.0, [1, 5, 9, 0, 2])]
    report = Report(ROWS, ["batch size: dynamic"], [Output("output", 31.4)], edges)
    return report.to_html(title="A net", times={"conv": 12.5, "fc": 100.0})


def test_verdict_summary_and_sizes(page, tmp_path):
    code = "return [document.title, document.body.innerText];"
    title, text = evaluate(page, code, tmp_path)
    assert title == "A net"
    for part in (
        *("No output has less than 20 dB.", "4 nodes: 2 quantized, 1 fused, 0 free, 1 float"),
        *("490 bytes in float, 150 packed (31%)", "112.5 us in all nodes", "batch size: dynamic"),
        *("31.4 dB", "no row for it", "Legend", "Environment"),
    ):
        assert part in text


def test_poor_outputs_are_the_verdict(tmp_path):
    page = Report(ROWS, [], [Output("output", 31.4, {"[:, 0]": 7.0})]).to_html()
    code = "const v = document.getElementById('verdict'); return [v.className, v.innerText];"
    kind, text = evaluate(page, code, tmp_path)
    assert kind == "bad" and text.strip() == "Below 20 dB: output[:, 0]: 7.0 dB."


def test_sort(page, tmp_path):
    code = f"""{VISIBLE}
    const heads = [...document.querySelectorAll("#nodes thead button")];
    const head = (title) => heads.find((each) => each.textContent === title);
    const seen = [visible()];
    for (let i = 0; i < 3; ++i) {{ head("us").click(); seen.push(visible()); }}
    head("node").click(); seen.push(visible());
    return seen;"""
    first, ascending, descending, again, by_name = evaluate(page, code, tmp_path)
    assert first == ["node", "body.0", "conv", "relu", "body", "cumsum", "head", "fc"]
    assert ascending == ["node", "conv", "fc", "relu", "cumsum"]
    assert descending == ["node", "fc", "conv", "relu", "cumsum"]
    assert again == first
    assert by_name == ["node", "conv", "cumsum", "fc", "relu"]


def test_filter(page, tmp_path):
    code = f"""{VISIBLE}
    const filter = document.getElementById("filter");
    const shown = document.getElementById("shown");
    const seen = [];
    for (const text of ["conv2d", "NO row", "head linear", "nothing"]) {{
      filter.value = text;
      filter.dispatchEvent(new Event("input"));
      seen.push([...visible(), shown.textContent]);
    }}
    filter.value = "";
    const box = document.querySelector("#filters input[value=quantized]");
    box.click();
    seen.push([...visible(), shown.textContent]);
    return seen;"""
    assert evaluate(page, code, tmp_path) == [
        ["node", "body.0", "conv", "1 of 4 nodes"],
        ["node", "body", "cumsum", "1 of 4 nodes"],
        ["node", "head", "fc", "1 of 4 nodes"],
        ["node", "0 of 4 nodes"],
        ["node", "body.0", "relu", "body", "cumsum", "2 of 4 nodes"],
    ]


def test_open_a_node_and_fold_a_module(page, tmp_path):
    code = f"""{VISIBLE}
    const [conv] = document.querySelectorAll("tr.node");
    const details = conv.nextElementSibling;
    const seen = [details.hidden];
    conv.click();
    seen.push(details.hidden, details.innerText);
    conv.click();
    seen.push(details.hidden);
    document.querySelector("#graph .box[data-row=n3]").dispatchEvent(new Event("click"));
    seen.push(document.getElementById("n3").nextElementSibling.hidden, document.activeElement.id);
    document.querySelector("tr.group").click();
    seen.push(visible());
    return seen;"""
    closed, opened, text, again, from_graph, focus, left = evaluate(page, code, tmp_path)
    assert closed and not opened and again and not from_graph and focus == "n3"
    assert "qnative.conv2d" in text and "inputs" in text
    assert left[:3] == ["node", "body.0", "body"]


def test_colors_of_the_graph(page, tmp_path):
    code = """
    const color = document.getElementById("color");
    const fills = () => [...document.querySelectorAll("#graph .box rect")].map(
        (rect) => rect.style.fill);
    const seen = [fills()];
    for (const by of ["error", "time"]) {
      color.value = by;
      color.dispatchEvent(new Event("change"));
      seen.push(fills());
    }
    return seen;"""
    verdicts, errors, times = evaluate(page, code, tmp_path)
    assert verdicts[0] == verdicts[3] and len(set(verdicts)) == 3
    assert len(set(errors)) == 1  # none were measured
    assert len(set(times)) == 3  # little, much, none


def test_histogram(page, tmp_path):
    code = """
    const band = document.querySelector("#edges .range").getBBox();
    const bars = document.querySelector("#edges .bars").getBBox();
    return [band.x, band.width, bars.x, bars.width].map(Math.round);"""
    # -1 .. 30 is 240 pixels wide; the codes reach from -0.3 to 25.2.
    assert evaluate(page.replace("<details>", "<details open>"), code, tmp_path) == [5, 197, 0, 240]


def test_names_inject_nothing(tmp_path):
    """With the page's policy and, by escapes alone, without it."""
    row = Row(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, inputs=[EVIL + "2"])
    other = Row("ok", "", "aten.relu", "quantized", inputs=[EVIL])
    edge = Edge(EVIL, EVIL, 0.1, 0, 0, 1, 0, 1, [1])
    page = Report([row, other], [EVIL], [Output(EVIL, 12.0, {EVIL: 3.0})], [edge]).to_html(
        title=EVIL
    )
    assert page.count("<script") == page.count("</script") == 1
    code = "return [document.title, document.images.length, document.scripts.length];"
    title, images, scripts = evaluate(page, code, tmp_path)
    assert title == EVIL and images == 0 and scripts == 3  # two of them are the test's
    lax = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (tmp_path / "lax.html").write_text(lax)
    assert "<img" not in dump(tmp_path / "lax.html")


def test_the_policy_stops_scripts_that_are_not_the_pages_own(page, tmp_path):
    (tmp_path / "page.html").write_text(
        page.replace("</h1>", "</h1><script>document.title = 'stolen'</script>")
    )
    assert "<title>A net</title>" in dump(tmp_path / "page.html")


@pytest.mark.parametrize(("count", "left_out"), [(500, ""), (2500, "histograms"), (30000, "nodes")])
def test_a_page_has_its_limit(count, left_out):
    edges = [Edge(f"n{i}", "uint8", 0.1, 0, 0, 1, 0, 1, [1] * 48) for i in range(count)]
    lines = [Line(f"n{i}", "m", "float", (f"n{i}", "float"), [f"n{i - 1}"]) for i in range(count)]
    columns = ("node", "verdict")
    text = render(Page("t", "v", True, [], ["a note"], [], columns, lines, edges))
    assert len(text.encode()) <= LIMIT and "a note" in text
    assert ("Left out" in text) == bool(left_out) and left_out in text


def test_a_page_without_nodes(tmp_path):
    assert evaluate(Report().to_html(), "return document.title", tmp_path) == "qnative report"


def test_of_a_model(tmp_path):
    """Written to a file: the values in 8 bits with their histograms, and the graph."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)
    model = nn.Sequential(*layers).eval()
    batches = [torch.randn(4, 3, 8, 8) for _ in range(4)]
    report = qnative.quantize(model, (batches[0],), batches).report
    text = report.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == text
    image, relu, flat = report.edges
    assert (image.name, image.dtype) == ("input_1", "uint8") and relu.name == "relu"
    assert (flat.name, flat.scale, flat.counts) == ("flatten", relu.scale, relu.counts)
    data = torch.stack(batches)
    assert image.least == data.min() and image.most == data.max()
    assert sum(image.counts) == data.numel()
    assert image.low == -image.zero_point * image.scale
    assert [row.inputs for row in report.rows] == [
        *(["input_1"], ["conv2d"], ["batch_norm"], ["relu"], ["flatten"]),
    ]
    assert Report.from_json(report.to_json()) == report
    code = 'return [document.querySelectorAll("#graph g").length, document.querySelectorAll(\
"#edges figure").length];'
    assert evaluate(text, code, tmp_path) == [6, 3]
