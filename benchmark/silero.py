"""Silero VAD in every runtime that takes its TorchScript or ONNX file.

The state of one window is an input of the next. The ONNX file is the package's file with fixed
sizes, the fastest in both runtimes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import qnative
from benchmark import peers
from benchmark.speech import WINDOW, file, streamed

CONTEXT = 64
FLOAT_ONNX = "silero_vad_openvino_16k.onnx"
Step = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def stepwise(step: Step) -> peers.Run:
    def run(audio: Tensor) -> Tensor:
        samples = F.pad(audio, (CONTEXT, 0)).numpy()
        state, outputs = np.zeros((2, 1, 128), np.float32), []
        for start in range(0, audio.shape[1], WINDOW):
            y, state = step(samples[:, start : start + CONTEXT + WINDOW], state)
            outputs.append(y.flatten())
        return torch.from_numpy(np.concatenate(outputs))

    return run


def onnxruntime(path: Path, threads: int) -> peers.Run:
    session = peers.onnxruntime_session(path, threads)
    return stepwise(lambda x, state: session.run(None, {"input": x, "state": state}))


def openvino(path: Path, threads: int) -> peers.Run:
    request = peers.openvino_request(path, threads)

    def step(x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        result = request.infer([x, state])
        return result[0], result[1].copy()

    return stepwise(step)


def torch_int8() -> peers.Run:
    """The only int8 flow of torch that takes TorchScript."""
    from torch.ao import quantization

    model = torch.jit.load(file("silero_vad.jit")).eval()
    configs = {"": quantization.default_dynamic_qconfig}
    return streamed(quantization.quantize_dynamic_jit(model, configs))


def needs_python_module() -> peers.Run:
    raise TypeError("takes Python modules, not TorchScript")


def write_torchscript(folder: Path) -> None:
    qnative.migrate(file("silero_vad.jit"), folder / "qnative.pt", dynamic=True)


def write_onnx(folder: Path) -> None:
    """Constants of the file are nodes; preprocessing makes them quantizable initializers."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(file(FLOAT_ONNX), folder / "prepared.onnx")
    peers.quantize_onnx_dynamic(folder / "prepared.onnx", folder / "int8.onnx")


def makers(folder: Path, threads: int) -> dict[str, Callable[[], peers.Run]]:
    """The competitors of every network, and both ONNX runtimes with the float file."""
    int8 = folder / "int8.onnx"
    return {
        "fp32 torch.compile": needs_python_module,
        "qnative eager": needs_python_module,
        "qnative TorchScript": lambda: streamed(torch.jit.load(folder / "qnative.pt")),
        "torch int8": torch_int8,
        "torchao int8 compiled": needs_python_module,
        "onnxruntime fp32": lambda: onnxruntime(file(FLOAT_ONNX), threads),
        "onnxruntime int8": lambda: onnxruntime(int8, threads),
        "OpenVINO fp32": lambda: openvino(file(FLOAT_ONNX), threads),
        "OpenVINO int8": lambda: openvino(int8, threads),
    }
