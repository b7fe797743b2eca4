"""Facts about the loaded library: the functions of ``qnative/info.h``."""

import ctypes
import platform

import torch

import qnative

from ._library import library_path

_LIBRARY = ctypes.CDLL(library_path())


def _text(function: str) -> str:
    call = getattr(_LIBRARY, function)
    call.restype = ctypes.c_char_p
    return call().decode()


def _number(function: str) -> int:
    call = getattr(_LIBRARY, function)
    call.restype = ctypes.c_int64
    return call()


# The most products of a uint8 with an int8, and of two uint8, whose sum fits in int32.
MAX_PRODUCTS_U8S8 = _number("qnative_max_products_u8s8")
MAX_PRODUCTS_U8U8 = _number("qnative_max_products_u8u8")
# Every instruction set that QNATIVE_ISA may name, in ascending order.
ISAS = tuple(_text("qnative_isas").split())
# The version of torch that the library was compiled for.
BUILT_FOR_TORCH = _text("qnative_torch_version")


def kernel_isas() -> dict[str, str]:
    """Kernel table -> the instruction set that ops choose on this machine."""
    return dict(line.split(" ") for line in _text("qnative_kernels").splitlines())


def environment() -> dict[str, str]:
    """Versions and machine, for people who compare two measurements."""
    return {
        "qnative": qnative.__version__,
        "torch": torch.__version__,
        "torch of the build": BUILT_FOR_TORCH,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "kernels": ", ".join(sorted(set(kernel_isas().values()))),
        "threads": str(torch.get_num_threads()),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
