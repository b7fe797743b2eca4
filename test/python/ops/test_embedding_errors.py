"""Errors of the embedding ops, on CPU and Meta (errors in values: CPU only)."""

import pytest
import torch

from support.errors import (
    INF,
    NAN,
    OPS,
    call,
    check_error,
    check_valid,
    error_tests,
    floats,
    s8,
    u8,
)

INDICES = torch.tensor([0, 4, 2, 1, 3])
BAG = {
    **{"indices": INDICES, "offsets": torch.tensor([0, 2, 2]), "mode": 0},
    **{"per_sample_weights": torch.ones(5), "include_last_offset": False, "padding_idx": 1},
}
EIGHT = {"weight": OPS.embedding_8bit_pack(floats(5, 7))}
FOUR = {"weight": OPS.embedding_4bit_pack(floats(5, 7)), "embedding_dim": 7}
VALID = {
    "embedding_8bit": {**EIGHT, "indices": INDICES},
    "embedding_4bit": {**FOUR, "indices": INDICES},
    "embedding_bag_8bit": {**EIGHT, **BAG},
    "embedding_bag_4bit": {**FOUR, **BAG},
    "embedding_8bit_pack": {"weight": floats(5, 7)},
    "embedding_4bit_pack": {"weight": floats(5, 7)},
    "embedding_8bit_unpack": EIGHT,
    "embedding_4bit_unpack": FOUR,
}
WEIGHT_ERRORS = [
    ({"weight": s8(5, 15)}, "weight must be Byte, got Char"),
    ({"weight": u8(15)}, r"weight must have 2 dimensions, got \[15\]"),
]
EIGHT_ERRORS = [
    *WEIGHT_ERRORS,
    ({"weight": u8(5, 7)}, r"weight must be \[rows, D \+ 8\], got \[5, 7\]"),
]
FOUR_ERRORS = [
    *WEIGHT_ERRORS,
    *(
        ({"embedding_dim": dim}, rf"2 \+ 8\], got \[5, 12\] and embedding_dim {dim}")
        for dim in (6, 9, -8, 2**62)
    ),
]
INDEX_ERRORS = [
    ({"indices": floats(5)}, "indices must be Int or Long, got Float"),
    ({"indices": INDICES.short()}, "indices must be Int or Long, got Short"),
]
BAG_ERRORS = [
    *INDEX_ERRORS,
    ({"indices": INDICES[None]}, r"indices must have 1 dimensions with offsets, got \[1, 5\]"),
    ({"offsets": None}, r"indices must have 2 dimensions without offsets, got \[5\]"),
    ({"offsets": floats(3)}, "offsets must be Int or Long, got Float"),
    ({"offsets": INDICES[None]}, r"offsets must have shape \[bags\], got \[1, 5\]"),
    (
        {"offsets": INDICES[:0], "include_last_offset": True},
        r"offsets must have shape \[bags \+ 1\], got \[0\]",
    ),
    ({"mode": 3}, r"mode must be 0 \(sum\), 1 \(mean\) or 2 \(max\), got 3"),
    ({"mode": -1}, "mode must be .*, got -1"),
    ({"mode": 1}, r"per_sample_weights need mode 0 \(sum\), got mode 1"),
    ({"per_sample_weights": torch.ones(4)}, r"the shape of indices \[5\], got \[4\]"),
    ({"per_sample_weights": torch.ones(5).double()}, "per_sample_weights must be Float, got Doub"),
    ({"padding_idx": 5}, r"padding_idx must be in \[-rows, rows\), got 5 and 5 rows"),
    ({"padding_idx": -6}, r"padding_idx must be in \[-rows, rows\), got -6 and 5 rows"),
    (
        {"padding_idx": 2**63 - 1},
        r"padding_idx must be in \[-rows, rows\), got 9223372036854775807",
    ),
    (
        {"padding_idx": -(2**63)},
        r"padding_idx must be in \[-rows, rows\), got -9223372036854775808",
    ),
]
PACK_ERRORS = [
    ({"weight": u8(5, 7)}, "weight must be Float, Half, BFloat16 or Double, got Byte"),
    ({"weight": floats(5)}, r"weight must be \[rows, D\], got \[5\]"),
]
ERRORS = {
    "embedding_8bit": EIGHT_ERRORS + INDEX_ERRORS,
    "embedding_4bit": FOUR_ERRORS + INDEX_ERRORS,
    "embedding_bag_8bit": EIGHT_ERRORS + BAG_ERRORS,
    "embedding_bag_4bit": FOUR_ERRORS + BAG_ERRORS,
    "embedding_8bit_pack": PACK_ERRORS,
    "embedding_4bit_pack": PACK_ERRORS,
    "embedding_8bit_unpack": EIGHT_ERRORS,
    "embedding_4bit_unpack": FOUR_ERRORS,
}
RANGE_ERRORS = [
    ({"indices": torch.tensor([0, bad, 2, 1, 3])}, rf"indices must be in \[0, 5\), .*, got {bad}")
    for bad in (5, -1, 2**62, -(2**63))
] + [
    ({"indices": torch.tensor([0, 1, 2, 1, bad], dtype=torch.int32)}, f"got {bad}")
    for bad in (5, -1, 2**31 - 1, -(2**31))
]
BAG_VALUE_ERRORS = [
    *RANGE_ERRORS,
    ({"offsets": torch.tensor([1, 2])}, "offsets must begin with 0, got 1"),
    ({"offsets": torch.tensor([0, 3, 2])}, "offsets must not decrease, got 3 before 2"),
    ({"offsets": torch.tensor([0, -1])}, "offsets must not decrease, got 0 before -1"),
    (
        {"offsets": torch.tensor([0, 6])},
        "not decrease, up to the number of indices, got 6 before 5",
    ),
    (
        {"offsets": torch.tensor([0, 6]), "include_last_offset": True},
        "offsets must be at most the number of indices 5, got 6",
    ),
]
PACK_VALUE_ERRORS = [
    (
        {"weight": torch.tensor([[1.0, 2.0], [value, 1.0]])},
        "weight must be finite as Float, got inf or NaN in row 1",
    )
    for value in (INF, -INF, NAN)
] + [({"weight": torch.tensor([[1e300]], dtype=torch.float64)}, "got inf or NaN in row 0")]
VALUE_ERRORS = {
    "embedding_8bit": RANGE_ERRORS,
    "embedding_4bit": RANGE_ERRORS,
    "embedding_bag_8bit": BAG_VALUE_ERRORS,
    "embedding_bag_4bit": BAG_VALUE_ERRORS,
    "embedding_8bit_pack": PACK_VALUE_ERRORS,
    "embedding_4bit_pack": PACK_VALUE_ERRORS,
}


@pytest.mark.parametrize("name", ["embedding_8bit_pack", "embedding_4bit_pack"])
def test_wide_rows_without_memory(name):
    for dim in (2**61 - 1, 2**62 - 1):
        check_valid(name, {"weight": floats(0, dim)})
    check_error(name, {"weight": floats(0, 2**62)}, r"must have less than 2\^62 columns, got \[0, ")


test_valid, test_error, test_error_in_values = error_tests(VALID, ERRORS, VALUE_ERRORS)


@pytest.mark.parametrize("name", ["embedding_8bit", "embedding_bag_8bit"])
def test_no_rows(name):
    args = {**VALID[name], "weight": u8(0, 15)}
    if "padding_idx" in args:
        args["padding_idx"] = None
    with pytest.raises(RuntimeError, match=r"indices must be in \[0, 0\), the rows, got 0"):
        call(name, args)
