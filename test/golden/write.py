"""Writes the files that every later version must read with the same bits.

    PYTHONPATH=.:test .venv/bin/python test/golden/write.py

They go to test/golden/<version>, which is written once, before the version is released, and never
again. test/python/test_golden.py reads the folders of all versions.
"""

import sys
import warnings
from pathlib import Path

import torch

import qnative
from qnative.backend_config import (
    BackendConfig,
    BackendPatternConfig,
    DTypeConfig,
    DTypeWithConstraints,
    ObservationType,
)
from torch_versions import models

ROOT = Path(__file__).parent
OPS = torch.ops.qnative
# What each op packs: the shape of the weight, and further arguments.
INT8 = {
    "linear": ((37, 70), ()),
    "conv1d": ((19, 5, 3), (1,)),
    "conv2d": ((19, 5, 3, 3), (1,)),
    "conv3d": ((5, 3, 3, 3, 3), (1,)),
    "conv_transpose1d": ((5, 19, 3), (1,)),
    "conv_transpose2d": ((6, 7, 3, 3), (2,)),
    "conv_transpose3d": ((5, 3, 3, 3, 3), (1,)),
}
FLOAT = {"linear_fp16": (37, 70), "embedding_8bit": (29, 37), "embedding_4bit": (29, 37)}


class Holder(torch.nn.Module):
    """A config as an attribute of a TorchScript file."""

    def __init__(self, config: BackendConfig):
        super().__init__()
        self.config = config.script_object

    def forward(self) -> str:
        return self.config.to_json()


def config() -> BackendConfig:
    """Every kind of field."""
    activations = DTypeWithConstraints(
        torch.quint8, quant_min_lower_bound=0, quant_max_upper_bound=127, scale_min_lower_bound=0.5
    )
    dtypes = [
        DTypeConfig(activations, torch.quint8, torch.qint8, torch.float32),
        DTypeConfig(torch.float32, torch.float32, torch.qint8, is_dynamic=True),
    ]
    linear = BackendPatternConfig(torch.nn.Linear).set_dtype_configs(dtypes)
    linear.set_observation_type(ObservationType.OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT)
    fused = BackendPatternConfig((torch.nn.Conv2d, torch.nn.ReLU)).set_dtype_configs(dtypes[:1])
    return BackendConfig("golden").set_backend_pattern_configs([linear, fused])


def packed() -> dict[str, list[torch.Tensor]]:
    """Op -> its weight and the packed form."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for op, (shape, rest) in INT8.items():
        weight = torch.randint(-128, 128, shape, dtype=torch.int8, generator=generator)
        tensors[op] = [weight, getattr(OPS, f"{op}_pack")(weight, *rest)]
    for op, shape in FLOAT.items():
        weight = torch.randint(-512, 512, shape, generator=generator).to(torch.float32) / 128
        tensors[op] = [weight, getattr(OPS, f"{op}_pack")(weight)]
    return tensors


@torch.no_grad()
def write(folder: Path) -> None:
    from safetensors.torch import save_model

    folder.mkdir()
    (folder / "config.json").write_text(config().to_json())
    torch.jit.save(torch.jit.script(Holder(config())), folder / "config.pt")
    torch.save(packed(), folder / "packed.data")
    for name, model, example, x, other in models():
        shapes = (dict.fromkeys(range(2 if name == "dynamic" else 1), torch.export.Dim.AUTO),)
        qnative.save(model, folder / f"{name}.pt2", (example,), dynamic_shapes=shapes)
        torch.jit.save(torch.jit.trace(model, example), folder / f"{name}.pt")
        if other is not None:
            save_model(model, str(folder / f"{name}.safetensors"))
        else:
            (folder / "report.json").write_text(model.report.to_json())
        torch.save([x, model(x)], folder / f"{name}.data")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    folder = ROOT / qnative.__version__
    if folder.exists():
        sys.exit(f"{folder} is there: what a version has written is never written again")
    write(folder)
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()):,} bytes")
