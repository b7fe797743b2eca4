"""LSTM, GRU and the cells with int8 or float16 weights."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ._weights import WEIGHT_DTYPES, asked
from .linear import Linear

if TYPE_CHECKING:
    from typing import overload as _overload_method
else:  # the overloads of TorchScript
    from torch._jit_internal import _overload_method


class _Recurrent(torch.nn.Module):
    """``parts``: the linear maps x w' + b of each layer and direction, in the order of torch's
    parameters: for the input, the hidden state and, with proj_size, the projection."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self.parts = torch.nn.ModuleList()

    def _load(self, mod: torch.nn.Module, names: list[str], dtype: torch.dtype) -> None:
        """The parts from the parameters weight_<name> and bias_<name> of a float module."""
        for i, name in enumerate(names):
            bias = getattr(mod, f"bias_{name}", None)
            self.parts[i] = Linear.of(getattr(mod, f"weight_{name}"), bias, dtype, False)

    def _constants(self) -> tuple[list[Tensor], list[Tensor], list[Tensor], int, int]:
        """Weights, scales and biases of the ops, and the sizes that follow them."""
        weights: list[Tensor] = []
        scales: list[Tensor] = []
        biases: list[Tensor] = []
        for part in self.parts:
            weights.append(part.packed_weight)
            scale, bias = part.weight_scale, part.bias
            if scale is not None:
                scales.append(scale)
            if bias is not None:
                biases.append(bias)
        return weights, scales, biases, self.input_size, self.hidden_size

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, bias={self.bias}"


class _Layers(_Recurrent):
    _GATES = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: torch.dtype = torch.int8,
    ):
        super().__init__(input_size, hidden_size, bias)
        if proj_size > 0 and not isinstance(self, LSTM):
            raise ValueError("qnative.nn: only LSTM has a proj_size")
        self.num_layers, self.batch_first, self.dropout = num_layers, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.directions = 2 if bidirectional else 1
        self.output_size = proj_size if proj_size > 0 else hidden_size
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else self.directions * self.output_size
            for _ in range(self.directions):
                self.parts.append(Linear(inputs, self._GATES * hidden_size, bias, dtype))
                self.parts.append(Linear(self.output_size, self._GATES * hidden_size, bias, dtype))
                if proj_size > 0:
                    self.parts.append(Linear(hidden_size, proj_size, False, dtype))

    @classmethod
    def from_float(
        cls, mod: torch.nn.Module, use_precomputed_fake_quant: bool = False
    ) -> "_Layers":
        """mod: the float module; its qconfig gives the dtype of the weights."""
        dtype = asked(mod, WEIGHT_DTYPES)
        sizes = mod.input_size, mod.hidden_size, mod.num_layers, mod.bias, mod.batch_first
        new = cls(*sizes, mod.dropout, mod.bidirectional, mod.proj_size, dtype)
        names = [
            f"{kind}_l{layer}{suffix}"
            for layer in range(mod.num_layers)
            for suffix in ("", "_reverse")[: new.directions]
            for kind in ("ih", "hh", "hr")[: 3 if mod.proj_size else 2]
        ]
        new._load(mod, names, dtype)
        return new

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, num_layers={self.num_layers}, "
            f"batch_first={self.batch_first}, bidirectional={self.bidirectional}, "
            f"proj_size={self.proj_size}"
        )

    def _depth(self) -> tuple[int, bool]:
        return self.num_layers, self.bidirectional

    def _first_state(self, data: Tensor, batch_sizes: Tensor, features: int) -> Tensor:
        shape = [self.num_layers * self.directions, int(batch_sizes[0]), features]
        return torch.zeros(shape, dtype=data.dtype, device=data.device)


def _permute(state: Tensor, order: Tensor | None) -> Tensor:
    return state if order is None else state.index_select(1, order)


class LSTM(_Layers):
    """torch.nn.LSTM with packed weights: ``qnative::lstm``. dtype: torch.int8 or torch.float16.
    dropout is stored but not applied."""

    _GATES = 4

    @_overload_method
    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        pass

    @_overload_method
    def forward(  # noqa: F811
        self, input: PackedSequence, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        pass

    def forward(self, input, hx=None):  # noqa: F811
        if isinstance(input, PackedSequence):
            data, batch_sizes, order, back = input
            if hx is None:
                h0 = self._first_state(data, batch_sizes, self.output_size)
                c0 = self._first_state(data, batch_sizes, self.hidden_size)
            else:
                h0, c0 = _permute(hx[0], order), _permute(hx[1], order)
            y, h, c = torch.ops.qnative.lstm(
                data, batch_sizes, h0, c0, *self._constants(), self.proj_size, *self._depth()
            )
            states = (_permute(h, back), _permute(c, back))
            return PackedSequence(y, batch_sizes, order, back), states
        else:
            first_h: Tensor | None = None
            first_c: Tensor | None = None
            if hx is not None:
                first_h, first_c = hx
            y, h, c = torch.ops.qnative.lstm(
                input,
                first_h,
                first_c,
                *self._constants(),
                self.proj_size,
                *self._depth(),
                self.batch_first,
            )
            return y, (h, c)


class GRU(_Layers):
    """torch.nn.GRU with packed weights: ``qnative::gru``. dtype: torch.int8 or torch.float16.
    dropout is stored but not applied."""

    _GATES = 3

    @_overload_method
    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        pass

    @_overload_method
    def forward(  # noqa: F811
        self, input: PackedSequence, hx: Tensor | None = None
    ) -> tuple[PackedSequence, Tensor]:
        pass

    def forward(self, input, hx=None):  # noqa: F811
        if isinstance(input, PackedSequence):
            data, batch_sizes, order, back = input
            if hx is None:
                h0 = self._first_state(data, batch_sizes, self.hidden_size)
            else:
                h0 = _permute(hx, order)
            y, h = torch.ops.qnative.gru(data, batch_sizes, h0, *self._constants(), *self._depth())
            return PackedSequence(y, batch_sizes, order, back), _permute(h, back)
        else:
            y, h = torch.ops.qnative.gru(
                input, hx, *self._constants(), *self._depth(), self.batch_first
            )
            return y, h


class _Cell(_Recurrent):
    _GATES = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: torch.dtype = torch.int8,
    ):
        super().__init__(input_size, hidden_size, bias)
        for inputs in (input_size, hidden_size):
            self.parts.append(Linear(inputs, self._GATES * hidden_size, bias, dtype))

    @classmethod
    def from_float(cls, mod: torch.nn.Module, use_precomputed_fake_quant: bool = False) -> "_Cell":
        """mod: the float module; its qconfig gives the dtype of the weights."""
        dtype = asked(mod, WEIGHT_DTYPES)
        new = cls(mod.input_size, mod.hidden_size, mod.bias, dtype=dtype)
        new._load(mod, ["ih", "hh"], dtype)
        return new


class LSTMCell(_Cell):
    """torch.nn.LSTMCell with packed weights: ``qnative::lstm_cell``."""

    _GATES = 4

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        h: Tensor | None = None
        c: Tensor | None = None
        if hx is not None:
            h, c = hx
        return torch.ops.qnative.lstm_cell(input, h, c, *self._constants())


class GRUCell(_Cell):
    """torch.nn.GRUCell with packed weights: ``qnative::gru_cell``."""

    _GATES = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return torch.ops.qnative.gru_cell(input, hx, *self._constants())


class RNNCell(_Cell):
    """torch.nn.RNNCell with packed weights: ``qnative::rnn_tanh_cell`` or ``rnn_relu_cell``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: torch.dtype = torch.int8,
    ):
        super().__init__(input_size, hidden_size, bias, dtype)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"qnative.nn: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}"
            )
        self.nonlinearity = nonlinearity

    @classmethod
    def from_float(
        cls, mod: torch.nn.Module, use_precomputed_fake_quant: bool = False
    ) -> "RNNCell":
        new = super().from_float(mod)
        new.nonlinearity = mod.nonlinearity
        return new

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity == "tanh":
            return torch.ops.qnative.rnn_tanh_cell(input, hx, *self._constants())
        return torch.ops.qnative.rnn_relu_cell(input, hx, *self._constants())
