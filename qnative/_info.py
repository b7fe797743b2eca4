"""Facts about the loaded library: the functions of ``qnative/info.h``."""

import ctypes

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
