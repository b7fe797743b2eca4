"""Embedding and EmbeddingBag with rows of 8 or 4 bits."""

import torch
from torch import Tensor

from ..lowering.packing import pack_table
from ._weights import TABLE_BITS, asked, float_weight

_MODES = ("sum", "mean", "max")


class _Table(torch.nn.Module):
    def __init__(self, num_embeddings: int, embedding_dim: int, bits: int):
        super().__init__()
        if bits not in (4, 8):
            raise ValueError(f"qnative.nn: bits must be 8 or 4, got {bits}")
        self.num_embeddings, self.embedding_dim, self.bits = num_embeddings, embedding_dim, bits
        rows = torch.zeros(num_embeddings, embedding_dim)
        self.register_buffer("packed_weight", pack_table(rows, bits))

    def _load_rows(self, mod: torch.nn.Module) -> None:
        rows = float_weight(mod.weight)
        if mod.max_norm is not None:
            # torch renormalizes the rows of a lookup before it reads them.
            every = torch.arange(len(rows))
            rows = torch.embedding_renorm_(rows.clone(), every, mod.max_norm, mod.norm_type)
        self.packed_weight = pack_table(rows, self.bits)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, bits={self.bits}"


class Embedding(_Table):
    """torch.nn.Embedding with rows of ``bits`` 8 or 4, zero until they are loaded."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        bits: int = 8,
    ):
        super().__init__(num_embeddings, embedding_dim, bits)
        self.padding_idx = padding_idx

    @classmethod
    def from_float(
        cls, mod: torch.nn.Module, use_precomputed_fake_quant: bool = False
    ) -> "Embedding":
        """mod: a torch.nn.Embedding; its qconfig gives the dtype of the weight."""
        bits = asked(mod, TABLE_BITS)
        new = cls(mod.num_embeddings, mod.embedding_dim, mod.padding_idx, bits)
        new._load_rows(mod)
        return new

    def forward(self, input: Tensor) -> Tensor:
        if self.bits == 8:
            return torch.ops.qnative.embedding_8bit(self.packed_weight, input)
        return torch.ops.qnative.embedding_4bit(self.packed_weight, self.embedding_dim, input)


class EmbeddingBag(_Table):
    """torch.nn.EmbeddingBag with rows of ``bits`` 8 or 4, zero until they are loaded."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "mean",
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        bits: int = 8,
    ):
        super().__init__(num_embeddings, embedding_dim, bits)
        if mode not in _MODES:
            raise ValueError(f"qnative.nn: mode must be one of {', '.join(_MODES)}, got {mode!r}")
        self.mode, self._mode = mode, _MODES.index(mode)
        self.include_last_offset, self.padding_idx = include_last_offset, padding_idx

    @classmethod
    def from_float(
        cls, mod: torch.nn.Module, use_precomputed_fake_quant: bool = False
    ) -> "EmbeddingBag":
        """mod: a torch.nn.EmbeddingBag; its qconfig gives the dtype of the weight."""
        sizes = mod.num_embeddings, mod.embedding_dim
        options = mod.mode, mod.include_last_offset, mod.padding_idx
        new = cls(*sizes, *options, asked(mod, TABLE_BITS))
        new._load_rows(mod)
        return new

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        if self.bits == 8:
            return torch.ops.qnative.embedding_bag_8bit(
                self.packed_weight,
                input,
                offsets,
                self._mode,
                per_sample_weights,
                self.include_last_offset,
                self.padding_idx,
            )
        return torch.ops.qnative.embedding_bag_4bit(
            self.packed_weight,
            self.embedding_dim,
            input,
            offsets,
            self._mode,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )
