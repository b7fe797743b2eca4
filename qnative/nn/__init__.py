"""Modules with quantized weights, for models that stay eager: ``qnative.quantize_dynamic``.

They replace the torch.nn modules of the same name. Inputs and outputs are float32, and weights are
packed in plain tensors, so that state_dict, deepcopy, pickle, torch.jit.script,
torch.jit.trace, torch.export and torch.compile treat them as any other module. They are for
inference: no dropout, no gradients.
"""

from .embedding import Embedding, EmbeddingBag
from .linear import Linear
from .rnn import GRU, LSTM, GRUCell, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "Embedding", "EmbeddingBag", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
