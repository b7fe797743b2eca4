"""python -m qnative report"""

import pytest
import torch
from torch import nn

import qnative
from qnative.__main__ import main


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    batches = [torch.randn(16, 8) for _ in range(4)]
    quantized = qnative.quantize(model, (batches[0],), [x / 10 for x in batches])
    qnative.save(quantized, folder / "model.pt2", (batches[0],))
    torch.export.save(torch.export.export(model, (batches[0],)), folder / "float.pt2")
    torch.export.save(torch.export.export(quantized, (batches[0],)), folder / "bare.pt2")
    for i, x in enumerate(batches):
        torch.save(x, folder / f"{i}.pt")
    return folder


def test_page_with_a_diagnosis(files, capsys):
    data = [str(files / f"{i}.pt") for i in range(2)]
    page = files / "report.html"
    command = ["report", str(files / "model.pt2"), "--float", str(files / "float.pt2"), "--data"]
    assert main([*command, *data, "--tries", "1", "-o", str(page)]) == 0
    shown = capsys.readouterr().out
    assert "clipped range" in shown and "report.html: 3 nodes: 2 quantized" in shown
    text = page.read_text()
    assert "<title>model.pt2</title>" in text and "What costs accuracy" in text
    assert "% of time" in text and "here dB" in text and "clipped range" in text


def test_page_of_the_file_alone(files, capsys):
    page = files / "alone.html"
    assert main(["report", str(files / "model.pt2"), "-o", str(page)]) == 0
    assert "qnative.linear" in page.read_text() and "% of time" not in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bare.pt2"], "bare.pt2 has no report"),
        (["none.pt2"], "none.pt2"),
        (["model.pt2", "--float", "float.pt2"], "--float needs --data"),
        (["model.pt2", "--float", "none.pt2", "--data", "0.pt"], "none.pt2"),
    ],
)
def test_errors(files, capsys, arguments, message):
    paths = [each if each.startswith("--") else str(files / each) for each in arguments]
    assert main(["report", *paths, "-o", str(files / "no.html")]) == 1
    assert message in capsys.readouterr().err and not (files / "no.html").exists()


def test_describe_leaves_out_the_rows_of_nodes(files, capsys):
    assert main(["describe", str(files / "model.pt2")]) == 0
    assert "values:" not in capsys.readouterr().out
