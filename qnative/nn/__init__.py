"""Modules with quantized weights, for models that stay eager: ``qnative.quantize_dynamic``.

They take the place of the torch.nn modules of the same name. float32 comes in and goes out, and
weights are packed in plain tensors, so that state_dict, deepcopy, pickle, torch.jit.script,
torch.jit.trace, torch.export and torch.compile treat them as any other module. They are for
inference: they neither drop out nor give gradients.
"""

from .embedding import Embedding, EmbeddingBag
from .linear import Linear
from .rnn import GRU, LSTM, GRUCell, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "Embedding", "EmbeddingBag", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
