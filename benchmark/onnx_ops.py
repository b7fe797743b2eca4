"""One op as an ONNX file, run by onnxruntime and by OpenVINO.

Inputs and outputs are preallocated 8-bit tensors: DequantizeLinear -> op -> QuantizeLinear, which
both runtimes turn into their int8 kernels. Images are NCHW, as in ONNX: the time includes layout
changes, which a whole network makes once and not at each op. For a single convolution these times
are therefore upper bounds.

A runtime that is not installed or lacks the op is left out with a message.
"""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmark import peers
from benchmark.cases.case import Y_RELU, Weight, X, Y

OPSET = 17
Runs = dict[str, Callable[[], Tensor]]


_left_out = False


@contextlib.contextmanager
def left_out() -> Iterator[None]:
    """Cases made in this scope have neither runtime; both are slow to create."""
    global _left_out
    _left_out = True
    try:
        yield
    finally:
        _left_out = False


@functools.cache
def _say(text: str) -> None:
    """Prints a message once, not for every case."""
    tqdm.write(text)


def runs(name: str, model: Callable[[], bytes | Path], inputs: list[Tensor]) -> Runs:
    """Both runtimes on the file that model() makes, with as many threads as torch."""
    if _left_out:
        return {}
    arrays = [x.contiguous(memory_format=torch.contiguous_format).numpy() for x in inputs]
    try:
        file = model()
    except Exception as error:
        _say(f"onnxruntime and OpenVINO are left out of {name}: {_reason(error)}")
        return {}
    functions = {}
    for runtime, make in (("onnxruntime", _onnxruntime), ("OpenVINO", _openvino)):
        try:
            functions[runtime] = make(file, arrays)
            functions[runtime]()
        except Exception as error:
            functions.pop(runtime, None)
            _say(f"{runtime} is left out of {name}: {_reason(error)}")
    return functions


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"


def _onnxruntime(model: bytes | Path, inputs: list[np.ndarray]) -> Callable[[], Tensor]:
    session = peers.onnxruntime_session(model, torch.get_num_threads(), spins=False)
    feed = {x.name: array for x, array in zip(session.get_inputs(), inputs, strict=True)}
    name = session.get_outputs()[0].name
    y = np.empty_like(session.run([name], feed)[0])
    binding = session.io_binding()
    for key, array in feed.items():
        binding.bind_cpu_input(key, array)
    binding.bind_output(name, "cpu", 0, y.dtype, list(y.shape), y.ctypes.data)
    result = torch.from_numpy(y)

    def run() -> Tensor:
        session.run_with_iobinding(binding)
        return result

    return run


def _openvino(model: bytes | Path, inputs: list[np.ndarray]) -> Callable[[], Tensor]:
    import openvino

    request = peers.openvino_request(model, torch.get_num_threads())
    for i, array in enumerate(inputs):
        request.set_input_tensor(i, openvino.Tensor(array, shared_memory=True))
    request.infer()
    result = torch.from_numpy(request.get_output_tensor(0).data)

    def run() -> Tensor:
        request.infer(share_outputs=True)
        return result

    return run


class _Graph:
    """Nodes and constants of a one-op model; methods return the name of the added value."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, op: str, inputs: list[str], outputs: int = 1, **attributes) -> list[str]:
        from onnx import helper

        names = [f"{op}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def quantizer(self, scale: float, zero_point: int) -> list[str]:
        return [self.constant(np.float32(scale)), self.constant(np.uint8(zero_point))]

    def dequantized(self, value: np.ndarray, scale: np.ndarray, axis: int) -> str:
        """A dequantized constant with one scale per index of an axis."""
        zero_points = self.constant(np.zeros(scale.shape, value.dtype))
        inputs = [self.constant(value), self.constant(scale), zero_points]
        return self.node("DequantizeLinear", inputs, axis=axis)[0]

    def model(self, y: str, inputs: list[Tensor]) -> bytes:
        from onnx import TensorProto, helper

        kinds = {torch.uint8: TensorProto.UINT8, torch.float32: TensorProto.FLOAT}
        kind = kinds[inputs[0].dtype]
        values = [
            helper.make_tensor_value_info(f"x{i}", kinds[x.dtype], list(x.shape))
            for i, x in enumerate(inputs)
        ]
        output = helper.make_tensor_value_info(y, kind, None)
        graph = helper.make_graph(self.nodes, "op", values, [output], self.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def _quantized_model(
    op: str,
    inputs: list[Tensor],
    output: tuple,
    weights: Callable[[_Graph], list[str]] = lambda graph: [],
    relu: bool = False,
    **attributes,
) -> bytes:
    graph = _Graph()
    x = [
        graph.node("DequantizeLinear", [f"x{i}", *graph.quantizer(*X)])[0]
        for i in range(len(inputs))
    ]
    (y,) = graph.node(op, x + weights(graph), **attributes)
    if relu:
        (y,) = graph.node("Relu", [y])
    (y,) = graph.node("QuantizeLinear", [y, *graph.quantizer(*output[:2])])
    return graph.model(y, inputs)


def pure(op: str, inputs: list[Tensor], output: tuple = Y, **attributes) -> Runs:
    """An op without weights. Inputs are quantized by X; output: scale, zero point, ..."""
    return runs(op, lambda: _quantized_model(op, inputs, output, **attributes), inputs)


def _bias(graph: _Graph, bias: Tensor, scale: np.ndarray) -> str:
    """The bias as int32 in units of the products, as both runtimes expect it."""
    scale = np.float32(X[0]) * scale
    return graph.dequantized(np.rint(bias.numpy() / scale).astype(np.int32), scale, 0)


def linear(x: Tensor, weight: Weight) -> Runs:
    """Followed by relu."""
    scale = weight.scale.numpy()

    def weights(graph: _Graph) -> list[str]:
        w = graph.dequantized(weight.int8.numpy().T, scale, 1)
        return [w, _bias(graph, weight.bias, scale)]

    return runs("linear", lambda: _quantized_model("Gemm", [x], Y_RELU, weights, relu=True), [x])


def convolution(
    x: Tensor, w: Tensor, scale: Tensor, bias: Tensor, geometry: list, relu: bool = False
) -> Runs:
    """geometry: as torch's op takes it; with output_padding, the op is transposed."""
    strides, pads, *output_padding, dilations, groups = geometry
    op = "ConvTranspose" if output_padding else "Conv"
    attributes = {"strides": strides, "pads": pads * 2, "dilations": dilations, "group": groups}

    def weights(graph: _Graph) -> list[str]:
        w_scale = scale.numpy()
        filters = graph.dequantized(w.numpy(), w_scale, 1 if output_padding else 0)
        return [filters, _bias(graph, bias, w_scale)]

    output = Y_RELU if relu else Y
    name = f"{op} of {x.dim() - 2} dimensions"
    return runs(name, lambda: _quantized_model(op, [x], output, weights, relu, **attributes), [x])


def linear_dynamic(x: Tensor, weight: Weight) -> Runs:
    """The form that onnxruntime fuses into DynamicQuantizeMatMul: one scale for all rows."""

    def model() -> bytes:
        graph = _Graph()
        x8, x_scale, x_zero_point = graph.node("DynamicQuantizeLinear", ["x0"], 3)
        scale = graph.constant(weight.scale.numpy())
        zero_points = graph.constant(np.zeros(len(weight.scale), np.int8))
        w = graph.constant(weight.int8.numpy().T)
        (total,) = graph.node("MatMulInteger", [x8, w, x_zero_point, zero_points])
        (total,) = graph.node("Cast", [total], to=1)
        (y,) = graph.node("Mul", [total, graph.node("Mul", [x_scale, scale])[0]])
        (y,) = graph.node("Add", [y, graph.constant(weight.bias.numpy())])
        return graph.model(y, [x])

    return runs("linear_dynamic", model, [x])


def lstm(model: nn.LSTM, x: Tensor) -> Runs:
    """DynamicQuantizeLSTM, as onnxruntime.quantization writes it; both runtimes run it."""
    from benchmark.networks import Network, sqnr

    class Output(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = model

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x)[0]

    with tempfile.TemporaryDirectory() as folder:
        network = Network(Output().eval(), (x,), "dynamic", sqnr, [])
        return runs("lstm", lambda: peers.write_onnx(network, Path(folder)), [x])
