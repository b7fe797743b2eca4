"""Runs a saved model in a process that has torch and libqnative.so, and nothing of the Python
package:

    python library_only.py LIBRARY MODEL INPUTS OUTPUTS

LIBRARY: what ``qnative.library_path()`` says. MODEL: a TorchScript file (.pt), a program of
torch.export (.pt2) or a package of AOTInductor (.aoti.pt2). INPUTS: a list of tensors, saved by
torch.save. OUTPUTS: where the output goes.
"""

import sys

import torch


def load(path: str):
    if path.endswith(".aoti.pt2"):
        return torch._inductor.aoti_load_package(path)
    return torch.export.load(path).module() if path.endswith(".pt2") else torch.jit.load(path)


def main(library: str, model: str, inputs: str, outputs: str) -> None:
    torch.ops.load_library(library)
    with torch.inference_mode():
        torch.save(load(model)(*torch.load(inputs)), outputs)
    assert "qnative" not in sys.modules and "torchao" not in sys.modules


if __name__ == "__main__":
    main(*sys.argv[1:])
