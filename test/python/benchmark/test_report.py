"""benchmark/plots.py and report.py: plots and tables from the JSON files of the benchmarks."""

import json
from pathlib import Path

import pytest

from benchmark import calls, models, plots, report
from support.benchmarks import REPORT, made_up

TIMED = {
    models.REFERENCE: {"low_decile_ms": 2.0, "sqnr_db": 30.0},
    models.FP32: {"low_decile_ms": 6.0},
    "onnxruntime int8": {"low_decile_ms": 4.0, "sqnr_db": 12.5},
    "torch int8": {"reason": "TypeError: no"},
}
NETWORKS = {"net": {"1": TIMED, "2": TIMED | {"onnxruntime int8": {"low_decile_ms": 1.0}}}}


def op_row(op: str, ratio: float) -> dict:
    return {
        "op": op,
        "shape": "1x2",
        "percent_of_limit": None if op == "b" else 50.0,
        "best_torch": "torch x86",
        "best_torch_over_qnative": ratio,
        "best_peer": "OpenVINO",
        "best_peer_over_qnative": ratio,
        "fp32_over_qnative": ratio,
        "latencies": {"qnative": {"low_decile_ms": 0.0123}},
    }


def test_ratios_are_over_the_best_peer():
    assert plots.best_peer(TIMED) == "onnxruntime int8"
    assert plots.model_ratios(NETWORKS) == {
        "net": {models.REFERENCE: 0.5, models.FP32: 1.5, "onnxruntime int8": 1.0}
    }


def test_plots_read_what_kernels_write():
    rows = [
        {"name": "gemm/avx2/a", "%peak": 50.0},
        {"name": "gemm/avx512_vnni/a", "%peak": 90.0},
        {"name": "gemm/amx_int8/a", "%peak": 70.0},
        {"name": "pool/avx512_vnni/b", "%copy": 40.0},
    ]
    assert plots.roofline(REPORT) == {"gemm": [(4.0, pytest.approx(2e11))]}
    shares = plots.kernel_shares({"benchmarks": rows})
    assert shares == {"%peak": {"gemm a": 70.0}, "%read": {}, "%copy": {"pool b": 40.0}}
    assert plots.kernel_shares({"benchmarks": rows}, "avx2")["%peak"] == {"gemm a": 50.0}


def test_plots_are_drawn(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    files = {"models": NETWORKS, "kernels": REPORT, "growth": {"linear": made_up([1, 2, 1])}}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    output = tmp_path / "images"
    monkeypatch.setattr("sys.argv", ["plots", str(tmp_path), "--output", str(output)])
    plots.main()
    drawn = {path.stem: path.stat().st_size for path in output.glob("*.png")}
    assert set(drawn) == set(plots.DRAWINGS)
    assert all(0 < size < 100_000 for size in drawn.values())


def test_three_digits():
    assert [report.digits(v) for v in (1234.5, 123.4, 12.345, 3.0, 0.01234)] == [
        "1234",
        "123",
        "12.3",
        "3.00",
        "0.0123",
    ]


def test_table_of_networks():
    head, row = report.models(NETWORKS, lambda _: "1")
    cells = dict(zip(head, row, strict=True))
    assert cells["qnative TorchScript"] == "**2.00**"
    assert cells["fp32"] == "6.00 (3.00)"
    assert cells["torch int8"] == "fails"
    assert cells["OpenVINO"] == ""
    assert cells["best peer"] == "2.00 (onnxruntime)"
    head, row = report.models(NETWORKS, report.most_threads)
    assert row[head.index("onnxruntime")] == "**1.00** (0.50)"
    assert report.failures(NETWORKS)[1:] == [["torch int8", "net", "TypeError: no"]]
    assert report.accuracy(NETWORKS)[1].count("12.5 dB") == 1


def test_tables_of_ops():
    results = [op_row("a", 2.0), op_row("a", 8.0), op_row("b", 1.0)]
    assert report.op_means(results)[1:] == [
        ["a", "2", "4.00", "2.00", "4.00", "4.00", "50"],
        ["b", "1", "1.00", "1.00", "1.00", "1.00", ""],
    ]
    layer = report.layers(results, ("a",))[1]
    assert layer == ["a", "1x2", "12.3", "50", "2.00 (x86)", "2.00 (OpenVINO)"]


def test_table_of_growth():
    table = report.growth({"linear": made_up([1, 1, 1, 1.5, 1, 2, 2, 1, 1.2, 1])})
    assert table[1] == ["linear", "1 to 10", "4 (1.50)", "none"]


def test_only_tables_with_a_file_are_put(tmp_path):
    (tmp_path / "models.json").write_text(json.dumps(NETWORKS))
    tables = report.make_tables(tmp_path)
    assert set(tables) == {"models", "models, all cores", "accuracy", "failures"}
    empty = "<!-- table: ops -->\n<!-- end -->\n"
    document = f"a\n<!-- table: models -->\nold\n<!-- end -->\nb\n{empty}"
    once = report.put(document, tables)
    assert "old" not in once and tables["models"] in once
    assert once.startswith("a\n") and once.endswith(f"b\n{empty}")
    assert report.put(once, tables) == once
    with pytest.raises(ValueError, match="no table is called 'nothing'"):
        report.put("<!-- table: nothing -->\n<!-- end -->", tables)


def test_the_document_has_every_table_and_plot():
    document = Path(report.__file__).parents[1] / "docs/performance.md"
    text = document.read_text()
    for name in report.TABLES:
        assert text.count(f"<!-- table: {name} -->\n|") == 1, name
    for name in plots.DRAWINGS:
        assert f"(images/{name}.png)" in text
        assert (document.parent / f"images/{name}.png").exists()


def test_fastest_repetition_of_a_call():
    rows = [
        {"run_name": f"calls/{name}/add", "real_time": time}
        for name, time in (("qnative", 300.0), ("fp32", 500.0), ("qnative", 250.0))
    ]
    row = {"way": "C++", "op": "add", "qnative": 0.25, "fp32": 0.5}
    assert calls.read_program({"benchmarks": rows}) == [row]
    assert report.calls([row])[1] == ["C++", "add", "0.25 us", "", "0.50 us"]
    assert calls.measure_program(Path("nothing")) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", calls.SOURCES)
def test_a_call_computes_the_same_from_all_ways(op, monkeypatch):
    monkeypatch.setattr(calls, "CALLS", 1)
    for implementation, values in calls.operands(op).items():
        source = calls.SOURCES[op][implementation]
        want = calls.python_call(source, values)()
        got = calls.script_calls(source, values, calls.PACKED_TYPES.get(op, ""))()
        assert want.equal(got), implementation
