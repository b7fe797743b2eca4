"""The same network by other runtimes: torch's own int8, torchao, onnxruntime and OpenVINO.

Every function takes a Network (or files and a number of threads) and returns a function of the
network's inputs. Imports are inside the functions: creating a peer that is not installed raises
ImportError.
"""

import contextlib
import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmark.networks import Network
from benchmark.timing import measure

Run = Callable[..., Tensor]


def compiled(network: Network) -> Run:
    return torch.compile(network.model)


def torch_int8(network: Network) -> Run:
    """quantize_dynamic, or FX graph mode with the faster of the engines x86 and onednn: x86 is
    hundreds of times slower on depthwise convolutions after a separate pad."""
    from torch.ao import quantization
    from torch.ao.quantization import quantize_fx

    torch.backends.quantized.engine = "x86"
    if network.recipe == "dynamic":
        return quantization.quantize_dynamic(network.model)
    mapping = quantization.get_default_qconfig_mapping("x86")
    prepared = quantize_fx.prepare_fx(copy.deepcopy(network.model), mapping, network.inputs)
    for row in network.calibration:
        prepared(*row)
    models = []
    for engine in ("onednn", "x86"):
        torch.backends.quantized.engine = engine
        models.append(quantize_fx.convert_fx(copy.deepcopy(prepared)))
    return min(models, key=lambda model: _quickest(model, network.inputs))


def _quickest(function: Run, inputs: tuple[Tensor, ...]) -> float:
    function(*inputs)
    return min(measure(lambda: function(*inputs), 1) for _ in range(5))


def torchao_int8(network: Network) -> Run:
    """PT2E and Inductor with frozen weights; for recipe "dynamic", int8 dynamic activations."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    if network.recipe == "dynamic":
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        model = copy.deepcopy(network.model)
        quantize_(model, Int8DynamicActivationInt8WeightConfig())
        return torch.compile(model)
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(network.model, network.inputs).module(), quantizer)
    for row in network.calibration:
        prepared(*row)
    return torch.compile(convert_pt2e(prepared))


def write_onnx(network: Network, folder: Path, open_batch: bool = False) -> Path:
    """onnxruntime's quantization with default options, per channel: static (min-max over the
    same data) or dynamic. open_batch: whether the file takes batches of any size."""
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    names = [f"x{i}" for i in range(len(network.inputs))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter needs no onnxscript and is deprecated
        torch.onnx.export(
            network.model,
            network.inputs,
            folder / "float.onnx",
            dynamo=False,
            opset_version=17,
            input_names=names,
            output_names=["y"],
            dynamic_axes={name: {0: "batch"} for name in [*names, "y"]} if open_batch else None,
        )
    source, target = folder / "float.onnx", folder / "int8.onnx"
    if network.recipe == "dynamic":
        quantize_onnx_dynamic(source, target)
        return target
    with _without_warnings():  # a message per clipped bias
        quant_pre_process(source, folder / "prepared.onnx")
        quantize_static(
            folder / "prepared.onnx",
            target,
            _reader(names, network.calibration),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return target


def quantize_onnx_dynamic(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _without_warnings():
        quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _reader(names: list[str], calibration: list[tuple[Tensor, ...]]) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rows = iter(calibration)

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {n: x.numpy() for n, x in zip(names, row, strict=True)}

    return Reader()


def onnxruntime_session(model: Path | bytes, threads: int, spins: bool = True) -> object:
    """spins: whether idle threads busy-wait, which takes cores from the next competitor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if not spins:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnxruntime(path: Path, threads: int) -> Run:
    session = onnxruntime_session(path, threads)

    def run(*inputs: Tensor) -> Tensor:
        feed = {f"x{i}": x.numpy() for i, x in enumerate(inputs)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run


def openvino_request(model: Path | bytes, threads: int) -> object:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # the benchmark pins
        # Float layers stay float32, as in the other runtimes; the default is bfloat16 on some CPUs.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    return core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()


def openvino(path: Path, threads: int) -> Run:
    request = openvino_request(path, threads)

    def run(*inputs: Tensor) -> Tensor:
        result = request.infer({i: x.numpy() for i, x in enumerate(inputs)})
        return torch.from_numpy(result[0].copy())

    return run
