"""benchmark/: the competitors of a case compute the same, and take turns."""

import time

import pytest
import torch

from benchmark import cases, models, nets, networks, ops, peers, plots
from benchmark.timing import interleaved, summary, threads

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns that its quantized dtypes are going

CONVOLUTIONS = ("conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
CASES = [
    pytest.param(lambda: cases.linear(3, 20, 17), id="linear"),
    pytest.param(lambda: cases.linear_dynamic(3, 20, 17), id="linear_dynamic"),
    pytest.param(lambda: cases.linear_dynamic_fp16(3, 20, 17), id="linear_dynamic_fp16"),
    pytest.param(lambda: cases.matmul(2, 5, 40, 7), id="matmul"),
    pytest.param(lambda: cases.linear_fp16(3, 20, 17), id="linear_fp16"),
    *(
        pytest.param(lambda op=op: cases.convolution(op, 2, 8, 7, 16, 3, 2, 1), id=op)
        for op in CONVOLUTIONS
    ),
    pytest.param(lambda: cases.conv2d(2, 8, 9, 7, 16, 3, 2, 1, 1), id="conv2d"),
    pytest.param(lambda: cases.conv2d(1, 16, 9, 7, 16, 5, 1, 2, 16), id="depthwise"),
    *(
        pytest.param(lambda op=op: cases.elementwise(op, 2, 16, 8, 6), id=op)
        for op in cases.ELEMENTWISE
    ),
    *(pytest.param(lambda op=op: cases.of_rows(op, 3, 40), id=op) for op in cases.OF_ROWS),
]


@pytest.mark.parametrize("make", CASES)
def test_competitors_compute_the_same(make):
    torch.manual_seed(0)
    case = make()
    functions = case.functions
    mine, shape = functions.pop("qnative")(), functions.pop("fp32")().shape
    assert mine.shape == shape
    assert functions
    if "transpose" in case.op:  # those of oneDNN, x86's too, differ from FBGEMM's by up to 100
        functions = {"torch fbgemm": functions["torch fbgemm"]}
    for function in functions.values():
        theirs = function()
        if theirs.is_quantized:
            theirs = theirs.int_repr()
        assert (mine.double() - theirs.double()).abs().max() <= 1


def test_lstm_of_competitors():
    """All values lie in [-1, 1]: quantized weights and states move them by a little."""
    torch.manual_seed(0)
    functions = cases.lstm(5, 3, 40).functions
    want = functions.pop("fp32")()
    assert len(functions) >= 2
    for function in functions.values():
        assert (function() - want).abs().max() < 0.02


def test_every_shape_is_a_case():
    names = [path.stem for path in cases.SHAPES.glob("*.csv")]
    # The shapes of linear serve its three dynamic and float16 forms too.
    count = sum(len(list(cases.rows(name))) for name in names) + 3 * len(list(cases.rows("linear")))
    assert len(list(cases.cases())) == count
    assert {row["op"] for row in cases.rows("convolution")} == set(CONVOLUTIONS)
    assert {row["op"] for row in cases.rows("elementwise")} == set(cases.ELEMENTWISE)
    assert {row["op"] for row in cases.rows("of_rows")} == set(cases.OF_ROWS)


def test_operations_of_a_convolution():
    assert cases.conv2d(1, 8, 6, 6, 16, 3, 1, 1, 2).operations == 2 * (16 * 6 * 6) * (4 * 3 * 3)


def test_result_of_a_case():
    result = ops.measure(cases.linear(4, 16, 16), rounds=2)
    assert result["best_torch"].startswith("torch")
    latencies = {name: row["low_decile_ms"] for name, row in result["latencies"].items()}
    best = latencies[result["best_torch"]]
    assert result["best_torch_over_qnative"] == best / latencies["qnative"]
    assert result["op"] in ops.line(result)


def test_timing_interleaves_and_restores_threads():
    before, order = torch.get_num_threads(), []

    def run(name):
        time.sleep(0.001)  # long enough not to be repeated within a round
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
            lambda: nets.settle(nets.mobilenet_v3_large(7), torch.randn(2, 3, 64, 64)),
            (1, 3, 64, 64),
        ),
        (lambda: nets.SpeechLstm(16).eval(), (3, 2, 40)),
    ],
    ids=["mobilenet_v3", "speech_lstm"],
)
def test_networks_run_in_both(make, inputs):
    torch.manual_seed(0)
    x, model = torch.randn(inputs), make()
    recipe = "dynamic" if isinstance(model, nets.SpeechLstm) else "static"
    rows = [(x,)]
    calibration = rows if recipe == "static" else []
    network = networks.Network(model, (x,), recipe, networks.sqnr, rows, calibration)
    with torch.inference_mode():
        expected = [model(x)]
        for function in (models.quantize(network), peers.torch_int8(network)):
            assert network.accuracy(expected, models.evaluate(function, network))["sqnr_db"] > 15


def test_resnet_gives_classes():
    assert nets.resnet18(7).eval()(torch.randn(2, 3, 64, 64)).shape == (2, 7)


def test_plots_read_what_benchmarks_write():
    timed = {models.FP32: {"low_decile_ms": 6.0}, models.REFERENCE: {"low_decile_ms": 2.0}}
    assert plots.model_ratios({"net": {"1": timed}}) == {
        "net": {models.FP32: 3.0, models.REFERENCE: 1.0}
    }
    rows = [
        {"name": "gemm/avx2/a", "%peak": 50.0},
        {"name": "gemm/avx512_vnni/a", "%peak": 90.0},
        {"name": "pool/avx512_vnni/b", "%copy": 40.0},
    ]
    assert plots.kernel_shares({"benchmarks": rows}) == {
        "%peak": {"gemm a": 90.0},
        "%read": {},
        "%copy": {"pool b": 40.0},
    }
