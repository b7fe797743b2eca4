"""benchmark/: the competitors of a case compute the same and run interleaved."""

import json
import time
from pathlib import Path

import pytest
import torch

from benchmark import (
    architectures,
    builds,
    four_bit,
    growth,
    limits,
    models,
    networks,
    onnx_ops,
    ops,
    peers,
    report,
    silero,
)
from benchmark.cases import conv, elementwise, float16, products, table
from benchmark.cases.case import Case
from benchmark.timing import interleaved, summary, threads
from support.benchmarks import REPORT, made_up

pytestmark = pytest.mark.filterwarnings("ignore")  # torch deprecates its quantized dtypes

CONVOLUTIONS = ("conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
CASES = [
    pytest.param(lambda: products.linear(3, 20, 17), id="linear"),
    pytest.param(lambda: products.linear_dynamic(3, 20, 17), id="linear_dynamic"),
    pytest.param(lambda: products.linear_dynamic_fp16(3, 20, 17), id="linear_dynamic_fp16"),
    pytest.param(lambda: products.matmul(2, 5, 40, 7), id="matmul"),
    pytest.param(lambda: products.attention(2, 5, 40, 16), id="attention"),
    pytest.param(lambda: products.attention_dynamic(2, 5, 40, 16), id="attention_dynamic"),
    pytest.param(lambda: products.linear_fp16(3, 20, 17), id="linear_fp16"),
    *(
        pytest.param(lambda op=op: conv.convolution(op, 2, 8, 7, 16, 3, 2, 1), id=op)
        for op in CONVOLUTIONS
    ),
    pytest.param(lambda: conv.conv2d(2, 8, 9, 7, 16, 3, 2, 1, 1), id="conv2d"),
    pytest.param(lambda: conv.conv2d(1, 16, 9, 7, 16, 5, 1, 2, 16), id="depthwise"),
    *(
        pytest.param(lambda op=op: elementwise.elementwise(op, 2, 16, 8, 6), id=op)
        for op in elementwise.ELEMENTWISE
    ),
    *(
        pytest.param(lambda op=op: elementwise.row_wise(op, 3, 40), id=op)
        for op in elementwise.ROW_WISE
    ),
    *(
        pytest.param(lambda op=op: float16.float16(op, 2, 8, 6, 10), id=op)
        for op in float16.FLOAT16
    ),
]


@pytest.mark.parametrize("make", CASES)
def test_competitors_compute_the_same(make):
    torch.manual_seed(0)
    case = make()
    functions = case.functions
    mine, shape = functions.pop("qnative")(), functions.pop("fp32")().shape
    assert mine.shape == shape
    assert functions
    if "transpose" in case.op:  # oneDNN (and x86) differ from FBGEMM by up to 100
        functions = {"torch fbgemm": functions["torch fbgemm"]}
    for name, function in functions.items():
        theirs = function()
        if theirs.is_quantized:
            theirs = theirs.int_repr()
        assert (mine.double() - theirs.double()).abs().max() <= 1, name


def test_lstm_of_competitors():
    """Values lie in [-1, 1]; quantized weights and states change them slightly."""
    torch.manual_seed(0)
    functions = products.lstm(5, 3, 40).functions
    want = functions.pop("fp32")()
    assert len(functions) >= 2
    for function in functions.values():
        assert (function() - want).abs().max() < 0.02


def test_every_shape_is_a_case():
    names = [path.stem for path in table.SHAPES.glob("*.csv")]
    assert set(names) == set(table.SHAPED)
    count = sum(len(list(table.rows(name))) * len(table.SHAPED[name]) for name in names)
    assert len(list(table.all_cases())) == count
    assert {row["op"] for row in table.rows("float16")} == set(float16.FLOAT16)
    assert {row["op"] for row in table.rows("convolution")} == set(CONVOLUTIONS)
    assert {row["op"] for row in table.rows("elementwise")} == set(elementwise.ELEMENTWISE)
    assert {row["op"] for row in table.rows("row_wise")} == set(elementwise.ROW_WISE)


def test_operations_of_a_convolution():
    assert conv.conv2d(1, 8, 6, 6, 16, 3, 1, 1, 2).operations == 2 * (16 * 6 * 6) * (4 * 3 * 3)


def test_result_of_a_case():
    result = ops.measure(products.linear(4, 16, 16), rounds=2)
    assert result["best_torch"].startswith("torch")
    latencies = {name: row["low_decile_ms"] for name, row in result["latencies"].items()}
    best = latencies[result["best_torch"]]
    assert result["best_torch_over_qnative"] == best / latencies["qnative"]
    best = latencies[result["best_peer"]]
    assert best == min(v for name, v in latencies.items() if name not in ("qnative", "fp32"))
    assert result["best_peer_over_qnative"] == best / latencies["qnative"]
    assert result["percent_of_limit"] is None
    assert result["op"] in ops.line(result)
    json.dumps(result)


def test_share_of_the_limit():
    machine = limits.read(REPORT)
    assert machine.dot == 4e11
    assert machine.share(Case("linear", "", 2 * 10**8, {}), 1.0) == pytest.approx(50)
    # 10000 bytes are compared with the buffer of 8192.
    assert machine.share(Case("add", "", 1, {}, "copy", 10000), 1e-3) == pytest.approx(10)
    assert machine.share(Case("linear_fp16", "", 1, {}, "none"), 1.0) is None
    result = ops.measure(products.linear(4, 16, 16), 2, machine)
    assert result["percent_of_limit"] > 0
    assert len(ops.line(result)) > 0


def test_limits_without_the_program(tmp_path):
    assert limits.measure(tmp_path / "benchmark_kernels") is None


def test_bytes_that_move():
    assert elementwise.elementwise("add", 1, 4, 3, 2).moved == 3 * 24
    assert elementwise.elementwise("quantize_per_tensor", 1, 4, 3, 2).moved == 5 * 24
    assert elementwise.elementwise("mean", 1, 4, 3, 2).moved == 24 + 4


def test_runtimes_are_among_the_competitors():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    for case in (
        products.linear(3, 20, 17),
        products.linear_dynamic(3, 20, 17),
        products.matmul(2, 5, 40, 7),
        conv.conv2d(1, 8, 9, 7, 16, 3, 1, 1, 1),
        elementwise.elementwise("add", 1, 16, 8, 6),
        elementwise.elementwise("avg_pool2d", 1, 16, 8, 6),
    ):
        assert {"onnxruntime", "OpenVINO"} <= set(case.functions), case.op


def test_runtimes_that_are_left_out(capsys):
    def fail():
        raise ImportError("no onnx here")

    assert onnx_ops.runs("nothing", fail, []) == {}
    assert "left out of nothing: ImportError: no onnx here" in capsys.readouterr().out
    with onnx_ops.left_out():
        assert "onnxruntime" not in products.linear(3, 20, 17).functions


def test_sizes_lie_around_powers_of_two():
    sizes = growth.around_powers(130)
    assert sizes == sorted(set(sizes))
    assert {1, 15, 16, 17, 23, 24, 25, 127, 128, 129, 130} <= set(sizes)
    assert max(sizes) == 130


def test_cliffs_cost_more_than_both_neighbours():
    points = made_up([1, 1, 1, 1.5, 1, 2, 2, 1, 1.2, 1])
    assert growth.cliffs(points, "qnative") == [(4, pytest.approx(1.5))]
    assert growth.cliffs(points, "torch") == []
    growth.print_cliffs({"linear": points})


def test_no_cliff_where_the_fixed_cost_rules():
    # 1 ms and 1.4 ms: fixed costs, not a cliff.
    points = [
        {"size": i, "operations": 1000, "qnative": ms, "torch": ms}
        for i, ms in enumerate([1, 1.4, 1, 2.8, 2])
    ]
    assert growth.cliffs(points, "qnative") == [(3, pytest.approx(1.4))]


def test_points_of_a_sweep():
    points = growth.measure(growth.Sweep(lambda m: products.linear(m, 16, 16), [3, 1]), rounds=2)
    assert [point["size"] for point in points] == [1, 3]
    assert points[1]["operations"] == 2 * 3 * 16 * 16
    assert all(point["qnative"] > 0 < point["torch"] for point in points)
    assert points[0]["engine"].startswith("torch")


def test_weights_of_random_networks_do_not_depend_on_the_state():
    def make():
        return torch.nn.Sequential(*architectures.conv(3, 4, 3, 8))

    first, second = (networks.image_network(make, 1).model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_timing_interleaves_and_restores_threads():
    before, order = torch.get_num_threads(), []

    def run(name):
        time.sleep(0.001)  # long enough for one call per round
        order.append(name)

    functions = {name: lambda name=name: run(name) for name in "ab"}
    with threads(1):
        assert torch.get_num_threads() == 1
        latencies = interleaved(functions, rounds=3)
    assert torch.get_num_threads() == before
    assert [len(values) for values in latencies.values()] == [3, 3]
    assert order[-12:] == list("aabb") * 3


def test_summary():
    assert summary([3.0, 1.0, 2.0]) == {"median_ms": 2.0, "low_decile_ms": 1.0, "fastest_ms": 1.0}


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (
            lambda: architectures.settle(
                architectures.mobilenet_v3_large(7), torch.randn(2, 3, 64, 64)
            ),
            (1, 3, 64, 64),
        ),
        (lambda: architectures.SpeechLstm(16).eval(), (3, 2, 40)),
    ],
    ids=["mobilenet_v3", "speech_lstm"],
)
def test_networks_run_in_both(make, inputs):
    torch.manual_seed(0)
    x, model = torch.randn(inputs), make()
    recipe = "dynamic" if isinstance(model, architectures.SpeechLstm) else "static"
    rows = [(x,)]
    calibration = rows if recipe == "static" else []
    network = networks.Network(model, (x,), recipe, networks.sqnr, rows, calibration)
    with torch.inference_mode():
        expected = [model(x)]
        for function in (models.quantize(network), peers.torch_int8(network)):
            assert network.accuracy(expected, models.evaluate(function, network))["sqnr_db"] > 15


def test_resnet_gives_classes():
    assert architectures.resnet18(7).eval()(torch.randn(2, 3, 64, 64)).shape == (2, 7)


def test_avx2_limits_a_process_that_starts_anew(monkeypatch):
    started = []
    monkeypatch.setattr("os.execve", lambda *args: started.append(args) or exit())
    monkeypatch.setattr("sys.argv", ["ops", "--isa", "avx2", "--filter", "nothing"])
    with pytest.raises(SystemExit):
        ops.main()
    _, command, environment = started[0]
    assert command[1:] == ["-m", "benchmark.ops", "--isa", "avx2", "--filter", "nothing"]
    assert environment.items() >= ops.ENVIRONMENTS["avx2"].items()
    assert limits.read(REPORT, "avx2").dot == 2e11


def test_reasons_stand_in_the_results(monkeypatch):
    def fail():
        raise ValueError("first line\nsecond")

    runs = {models.REFERENCE: lambda: torch.relu, "peer": fail}
    monkeypatch.setattr(models, "makers", lambda *_: runs)
    network = networks.Network(torch.relu, (torch.ones(2),), "static", networks.sqnr, [])
    competitors, reasons = models.make_competitors(network, None, 1)
    assert set(competitors) == {models.FP32, models.REFERENCE}
    assert reasons == {"peer": "ValueError: first line"}
    runs[models.REFERENCE] = fail
    with pytest.raises(ValueError, match="first line"):
        models.make_competitors(network, None, 1)


def test_silero_vad_of_all_runtimes(tmp_path):
    pytest.importorskip("silero_vad")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    silero.write_torchscript(tmp_path)
    network = networks.silero_vad(40)
    want = network.model(*network.inputs)
    assert want.shape == (40,)
    silero.write_onnx(tmp_path)
    competitors, reasons = models.make_competitors(network, tmp_path, 1)
    with torch.inference_mode():
        for name in set(competitors) - {"onnxruntime int8", "OpenVINO int8"}:  # inaccurate but fast
            difference = (competitors[name](*network.inputs) - want).abs().max()
            assert difference < 5e-3, name
    assert {"onnxruntime fp32", "OpenVINO fp32", "onnxruntime int8"} <= set(competitors)
    assert set(competitors) | set(reasons) >= set(report.COLUMNS)


def test_a_build_has_the_bits_of_itself(capsys):
    root = Path(builds.__file__).parents[1]
    rows = builds.compare(root, root, blocks=2, with_networks=False)
    assert [row["name"] for row in rows] == ["add", "linear", "conv2d"]
    assert all(row["bits"] == "equal" and row["old_us"] > 0 for row in rows)
    assert "conv2d: " in capsys.readouterr().out


def test_a_build_that_stops_is_named(tmp_path):
    with pytest.raises(RuntimeError, match=r"builds\.py .*stopped"):
        builds.compare(tmp_path, tmp_path, blocks=1, with_networks=False)


@pytest.mark.parametrize("m", [1, 3])
def test_four_bit_peers_compute_the_layer(m):
    calls = four_bit.competitors(64, 96, m, 32)
    want = torch.as_tensor(calls["float"]())
    assert {"qnative", "linear_dynamic", "float"} <= calls.keys()
    for name, call in calls.items():
        got = call()[0] if name == "onnxruntime" else call()
        error = (torch.as_tensor(got).float() - want).norm() / want.norm()
        assert error < 0.2, name
