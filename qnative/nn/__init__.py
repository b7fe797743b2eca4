"""Modules with quantized weights, for models that stay eager: ``qnative.quantize_dynamic``.

They replace the torch.nn modules of the same name. Inputs and outputs are float32, and weights are
packed in plain tensors, so that state_dict, deepcopy, pickle, torch.jit.script,
torch.jit.trace, torch.export and torch.compile treat them as any other module. They are for
inference: no dropout, no gradients.
"""

from .conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from .embedding import Embedding, EmbeddingBag
from .linear import Linear, Linear4bit
from .rnn import GRU, LSTM, GRUCell, LSTMCell, RNNCell

__all__ = [
    "GRU",
    "LSTM",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Embedding",
    "EmbeddingBag",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "Linear4bit",
    "RNNCell",
]
