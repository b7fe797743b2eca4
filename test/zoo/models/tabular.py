"""Recommender and tabular networks."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from zoo.entry import Entry, Input

_ROWS, _FIELDS, _NUMBERS, _SIZE = 5000, 16, 13, 32
_CATEGORIES = Input((_FIELDS,), "ids", count=_ROWS)
_DENSE = Input((_NUMBERS,))


def _mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Fields(nn.Module):
    """Ids [batch, fields] -> vectors [batch, fields, size], of a table for each field."""

    def __init__(self, size: int = _SIZE):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(_ROWS, size) for _ in range(_FIELDS))

    def forward(self, ids: Tensor) -> Tensor:
        columns = ids.unbind(1)
        return torch.stack([t(i) for t, i in zip(self.tables, columns, strict=True)], 1)


class Dlrm(nn.Module):
    """Bags of embeddings and their dot products, Naumov et al. 2019."""

    def __init__(self):
        super().__init__()
        self.bags = nn.ModuleList(nn.EmbeddingBag(_ROWS, _SIZE, mode="sum") for _ in range(_FIELDS))
        self.bottom, n = _mlp(_NUMBERS, 256, 64, _SIZE), _FIELDS + 1
        self.top = _mlp(_SIZE + n * (n - 1) // 2, 512, 256, 1)
        self.register_buffer("pairs", torch.tril_indices(n, n, -1))

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        x = self.bottom(dense)
        rows = [bag(i.unsqueeze(1)) for bag, i in zip(self.bags, ids.unbind(1), strict=True)]
        y = torch.stack([x, *rows], 1)
        products = torch.bmm(y, y.transpose(1, 2))[:, self.pairs[0], self.pairs[1]]
        return torch.sigmoid(self.top(torch.cat([x, products], 1)))


class DeepFm(nn.Module):
    """A factorization machine beside a deep network, Guo et al. 2017."""

    def __init__(self):
        super().__init__()
        self.fields, self.weights = Fields(), Fields(1)
        self.deep = _mlp(_FIELDS * _SIZE, 256, 128, 1)

    def forward(self, ids: Tensor) -> Tensor:
        y = self.fields(ids)
        pairs = 0.5 * (y.sum(1).square() - y.square().sum(1)).sum(1, keepdim=True)
        return torch.sigmoid(self.weights(ids).sum(1) + pairs + self.deep(y.flatten(1)))


class WideAndDeep(nn.Module):
    """Cheng et al. 2016."""

    def __init__(self):
        super().__init__()
        self.fields, self.wide = Fields(), nn.Linear(_NUMBERS, 1)
        self.deep = _mlp(_FIELDS * _SIZE + _NUMBERS, 512, 256, 1)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        deep = self.deep(torch.cat([self.fields(ids).flatten(1), dense], 1))
        return torch.sigmoid(self.wide(dense) + deep)


class Dcn(nn.Module):
    """Cross layers with full matrices, Wang et al. 2020."""

    def __init__(self):
        super().__init__()
        size = _FIELDS * _SIZE + _NUMBERS
        self.fields = Fields()
        self.cross = nn.ModuleList(nn.Linear(size, size) for _ in range(3))
        self.deep, self.score = _mlp(size, 256, 128), nn.Linear(size + 128, 1)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        first = torch.cat([self.fields(ids).flatten(1), dense], 1)
        x = first
        for layer in self.cross:
            x = first * layer(x) + x
        return torch.sigmoid(self.score(torch.cat([x, self.deep(first)], 1)))


class AutoInt(nn.Module):
    """Attention between the fields, Song et al. 2018."""

    def __init__(self):
        super().__init__()
        self.fields = Fields()
        layers = [nn.MultiheadAttention(_SIZE, 2, batch_first=True) for _ in range(3)]
        self.layers, self.score = nn.ModuleList(layers), nn.Linear(_FIELDS * _SIZE, 1)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.fields(ids)
        for layer in self.layers:
            x = torch.relu(x + layer(x, x, x, need_weights=False)[0])
        return torch.sigmoid(self.score(x.flatten(1)))


class SasRec(nn.Module):
    """The next item after a sequence of items, Kang and McAuley 2018."""

    def __init__(self, size: int = 64, length: int = 50):
        super().__init__()
        self.items, self.places = nn.Embedding(_ROWS, size), nn.Embedding(length, size)
        layer = nn.TransformerEncoderLayer(size, 2, 4 * size, 0.0, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.register_buffer("causal", torch.ones(length, length, dtype=torch.bool).triu(1))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.items(ids) + self.places(torch.arange(ids.shape[1]))
        y = self.body(x, mask=self.causal, is_causal=True)
        return y[:, -1] @ self.items.weight.t()


class Gru4Rec(nn.Module):
    """Hidasi et al. 2015."""

    def __init__(self, size: int = 64):
        super().__init__()
        self.items, self.scores = nn.Embedding(_ROWS, size), nn.Linear(128, _ROWS)
        self.gru = nn.GRU(size, 128, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        return self.scores(self.gru(self.items(ids))[0][:, -1])


class Ncf(nn.Module):
    """Neural collaborative filtering, He et al. 2017."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(_ROWS, 64) for _ in range(4))
        self.deep, self.score = _mlp(128, 128, 64), nn.Linear(128, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        a, b, c, d = (t(i) for t, i in zip(self.tables, (user, item) * 2, strict=True))
        return torch.sigmoid(self.score(torch.cat([a * b, self.deep(torch.cat([c, d], 1))], 1)))


class TwoTower(nn.Module):
    """Vectors of users and items, of unit length, and their cosine."""

    def __init__(self):
        super().__init__()
        self.fields = Fields()
        self.user, self.item = _mlp(_NUMBERS, 256, 64), _mlp(_FIELDS * _SIZE, 256, 64)

    def forward(self, dense: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        user = nn.functional.normalize(self.user(dense), dim=1)
        item = nn.functional.normalize(self.item(self.fields(ids).flatten(1)), dim=1)
        return user, item, (user * item).sum(1)


class FtTransformer(nn.Module):
    """A token for each column of a table, Gorishniy et al. 2021."""

    def __init__(self, size: int = 64):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(_NUMBERS, size))
        self.shift = nn.Parameter(torch.randn(_NUMBERS, size))
        self.first = nn.Parameter(torch.randn(1, 1, size))
        layer = nn.TransformerEncoderLayer(
            size, 4, 2 * size, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.score = nn.Linear(size, 1)

    def forward(self, dense: Tensor) -> Tensor:
        tokens = dense.unsqueeze(-1) * self.scale + self.shift
        first = self.first.expand(dense.shape[0], -1, -1)
        return self.score(self.body(torch.cat([first, tokens], 1))[:, 0])


def _entry(name: str, make: Any, *inputs: Input) -> Entry:
    return Entry(name, "tabular", "torch", make, inputs)


_ITEM = Input((), "ids", count=_ROWS)
_SESSION = Input((50,), "ids", count=_ROWS)

TABULAR = [
    _entry("dlrm", Dlrm, _DENSE, _CATEGORIES),
    _entry("deepfm", DeepFm, _CATEGORIES),
    _entry("wide_and_deep", WideAndDeep, _DENSE, _CATEGORIES),
    _entry("dcn_v2", Dcn, _DENSE, _CATEGORIES),
    _entry("autoint", AutoInt, _CATEGORIES),
    _entry("sasrec", SasRec, _SESSION),
    _entry("gru4rec", Gru4Rec, _SESSION),
    _entry("ncf", Ncf, _ITEM, _ITEM),
    _entry("two_tower", TwoTower, _DENSE, _CATEGORIES),
    _entry("ft_transformer", FtTransformer, _DENSE),
]
