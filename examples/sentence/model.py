"""The network of all-MiniLM-L6-v2: BERT with a mean over tokens, of unit length."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


class Layer(nn.Module):
    """Attention and two linear layers, each added to its input and normalized."""

    def __init__(self, size: int, hidden: int, heads: int, eps: float):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.attended = nn.Linear(size, size)
        self.attended_norm = nn.LayerNorm(size, eps)
        self.up = nn.Linear(size, hidden)
        self.down = nn.Linear(hidden, size)
        self.norm = nn.LayerNorm(size, eps)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = self.attended_norm(x + self.attended(y.transpose(1, 2).flatten(2)))
        return self.norm(x + self.down(F.gelu(self.up(x))))


class SentenceEncoder(nn.Module):
    """(ids, mask), both int64 [sentences, tokens], mask 0 behind the end -> [sentences, size]."""

    def __init__(self, config: dict):
        super().__init__()
        size, eps = config["hidden_size"], config["layer_norm_eps"]
        shape = (size, config["intermediate_size"], config["num_attention_heads"], eps)
        self.words = nn.Embedding(config["vocab_size"], size)
        self.positions = nn.Embedding(config["max_position_embeddings"], size)
        self.types = nn.Embedding(config["type_vocab_size"], size)
        self.norm = nn.LayerNorm(size, eps)
        self.layers = nn.ModuleList(Layer(*shape) for _ in range(config["num_hidden_layers"]))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.positions(positions) + self.types(torch.zeros_like(ids))
        x = self.norm(x)
        bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * -1e9
        for layer in self.layers:
            x = layer(x, bias)
        weight = mask.to(x.dtype).unsqueeze(-1)
        return F.normalize((x * weight).sum(1) / weight.sum(1).clamp(min=1e-9))


# Names in the file -> names here.
_NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
    "encoder.layer": "layers",
    "attention.self.": "",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


def load(folder: Path) -> SentenceEncoder:
    """The network with the weights of a folder in the format of Hugging Face."""
    model = SentenceEncoder(json.loads((folder / "config.json").read_text()))
    weights = {}
    for name, value in load_file(folder / "model.safetensors").items():
        for old, new in _NAMES.items():
            name = name.replace(old, new)
        weights[name] = value
    unused = {name for name in weights if name.startswith("pooler") or "position_ids" in name}
    model.load_state_dict({name: weights[name] for name in weights.keys() - unused})
    return model.eval()
