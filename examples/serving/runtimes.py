"""EfficientNet-lite0 in 8 bits by several runtimes: their files, and how each runs a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import qnative
from examples.efficientnet import data

SIZE = data.IMAGE_SIZE
IMAGE_BYTES = SIZE * SIZE * 3

# One image as it is sent: the bytes of [height, width, 3], RGB. One answer: 1000 logits.
Run = Callable[[list[bytes]], Sequence[np.ndarray]]


def network_input(images: list[bytes]) -> np.ndarray:
    """[batch, 3, 224, 224] float32, in channels_last, which qnative reads without a copy."""
    pixels = np.stack([np.frombuffer(image, np.uint8) for image in images])
    pixels = pixels.reshape(-1, SIZE, SIZE, 3)
    values = np.subtract(pixels, data.MEAN, dtype=np.float32)
    values *= 1 / data.STD
    return values.transpose(0, 3, 1, 2)


def write_qnative(path: Path) -> None:
    calibration, _ = data.make_crops()
    model = qnative.quantize(data.load_model(), (calibration[:2],), calibration.split(16))
    qnative.save(model, path, (calibration[:1],))


def write_onnx(path: Path) -> None:
    from benchmark import networks, peers

    network = networks.efficientnet(1)
    peers.write_onnx(network, path.parent, open_batch=True).rename(path)


def qnative_runs(path: Path, workers: int) -> list[Run]:
    """The workers share one program."""
    torch.set_num_threads(1)
    program = qnative.Program.load(path)

    def run(images: list[bytes]) -> Sequence[np.ndarray]:
        return program(torch.from_numpy(network_input(images))).numpy()

    return [run] * workers


def onnxruntime_runs(path: Path, workers: int) -> list[Run]:
    from benchmark import peers

    session = peers.onnxruntime_session(path, 1)

    def run(images: list[bytes]) -> Sequence[np.ndarray]:
        return session.run(None, {"x0": np.ascontiguousarray(network_input(images))})[0]

    return [run] * workers


def openvino_runs(path: Path, workers: int) -> list[Run]:
    """The workers share one compiled model, with a stream and a request for each."""
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": workers,
        "NUM_STREAMS": workers,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = core.compile_model(core.read_model(path), "CPU", settings)

    def worker() -> Run:
        request = compiled.create_infer_request()

        def run(images: list[bytes]) -> Sequence[np.ndarray]:
            return request.infer({0: np.ascontiguousarray(network_input(images))})[0].copy()

        return run

    return [worker() for _ in range(workers)]


@dataclass(frozen=True)
class Runtime:
    file: str
    write: Callable[[Path], None]
    runs: Callable[[Path, int], list[Run]]

    def prepare(self, folder: Path) -> Path:
        """The file in `folder`, written if it is not there."""
        path = folder / self.file
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self.write(path)
        return path


RUNTIMES = {
    "qnative": Runtime("qnative.pt2", write_qnative, qnative_runs),
    "onnxruntime": Runtime("int8_batch.onnx", write_onnx, onnxruntime_runs),
    "openvino": Runtime("int8_batch.onnx", write_onnx, openvino_runs),
}
