"""The same network in int8 by onnxruntime and OpenVINO, from one ONNX file.

Imports stand in the functions: a peer that is not installed is an ImportError when it is made.
"""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor


def write_onnx(model: torch.nn.Module, calibration: Tensor, folder: Path) -> Path:
    """onnxruntime's static quantization as it comes: per channel, min-max over the same crops."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Crops(CalibrationDataReader):
        def __init__(self):
            self.crops = iter(calibration.split(1))

        def get_next(self):
            crop = next(self.crops, None)
            return None if crop is None else {"x": crop.numpy()}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter needs no onnxscript and is deprecated
        torch.onnx.export(
            model,
            (calibration[:1],),
            folder / "float.onnx",
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["y"],
        )
    quant_pre_process(folder / "float.onnx", folder / "prepared.onnx")
    logging.disable(logging.WARNING)  # one line for each bias it clips
    quantize_static(
        folder / "prepared.onnx",
        folder / "int8.onnx",
        Crops(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    logging.disable(logging.NOTSET)
    return folder / "int8.onnx"


def onnxruntime(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def openvino(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # the benchmark pins
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
    return lambda x: torch.from_numpy(request.infer({0: x.numpy()})[0].copy())
