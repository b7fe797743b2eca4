"""The small models of the zoo, and its tools. `make zoo` runs the rest."""

import json

import pytest
import torch
from torch import nn

from qnative.graph.export import export
from zoo.__main__ import line, run
from zoo.doc import losses, page
from zoo.entry import Input, Plain, settle
from zoo.macs import macs
from zoo.models.audio import AUDIO
from zoo.models.tabular import TABULAR
from zoo.models.text import TEXT
from zoo.models.trained import TRAINED
from zoo.models.vision import VISION
from zoo.record import RECIPES
from zoo.table import ENTRIES, SMALL

# The products of DLRM's embeddings stay float: 8 bits would lose the dense features. So do
# convolutions in dynamic recipes.
LEAST_SHARE = {"dlrm": 0.96, "conformer": 0.87}


@pytest.mark.parametrize("name", SMALL)
def test_small_model(name, tmp_path):
    record = run(ENTRIES[name], tmp_path, seconds=600)
    assert "error" not in record
    assert tuple(record["recipes"]) == RECIPES
    for recipe, result in record["recipes"].items():
        assert "error" not in result, recipe
        assert result["silent"] == []
        assert set(result["equal"].values()) == {"equal"}, result["equal"]
        assert result["int8_share"] >= LEAST_SHARE.get(name, 1.0)
    json.loads((tmp_path / f"{name}.json").read_text())
    assert name in line(record) and name in page({name: record})


class Products(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.linear = nn.Linear(10, 5)
        self.lstm = nn.LSTM(5, 7, 2, bidirectional=True, batch_first=True)

    def forward(self, x):
        y = self.up(self.conv(x))  # [2, 6, 10, 10]
        z = self.linear(y.flatten(1, 2))  # [2, 60, 5]
        s = torch.nn.functional.scaled_dot_product_attention(z, z, z)
        return self.lstm(z)[0], s, torch.einsum("bij,bkj->bik", z, z), z @ z.transpose(1, 2)


def test_macs_are_those_of_the_definitions():
    exported = export(Products().eval(), (torch.randn(2, 4, 5, 5),), None, "test").module
    found = macs(exported)
    lstm = 2 * 60 * 2 * 4 * 7 * ((5 + 7) + (14 + 7))
    product = 2 * 60 * 60 * 5
    assert sorted(found.values()) == sorted(
        [
            2 * 8 * 5 * 5 * 2 * 9,
            2 * 8 * 5 * 5 * 6 * 4,
            2 * 60 * 5 * 10,
            2 * product,
            lstm,
            *(product for name in found if "matmul" in name or "einsum" in name),
        ]
    )
    assert len(found) == 7


def test_settled_batch_norm_keeps_the_scale():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5))
    x = 5 + 3 * torch.randn(16, 3, 9, 9)
    settle(model, (x,))
    assert not any(module.training for module in model.modules())
    y = model(x)
    assert abs(float(y.mean())) < 0.01 and abs(float(y.std()) - 1) < 0.02


def test_inputs_are_the_same_in_every_process():
    entry = ENTRIES["dlrm"]
    for a, b in zip(entry.draw(3, 5), entry.draw(3, 5), strict=True):
        assert torch.equal(a, b) and a.shape[0] == 3


def test_open_sizes_are_the_batch_and_what_differs():
    assert sorted(Input((3, 32, 32), "image", (3, 40, 32)).open_sizes) == [0, 2]
    assert sorted(Input((3, 32, 32), "image").open_sizes) == [0]


def test_plain_returns_the_tensors_of_any_output():
    class Model(nn.Module):
        def forward(self, x, *, scale):
            return {"a": x * scale, "b": [x], "c": None}

    a, b = Plain(Model(), ("x",), {"scale": 2})(torch.ones(2))
    assert torch.equal(a, 2 * b)


def test_losses_are_listed():
    result = {
        "sqnr": {"output": 10.0},
        "torchao": {"output": 30.0},
        "silent": ["output"],
        "speedup": 1.5,
        "equal": {"trace": "equal", "export": "differs"},
    }
    assert losses(result) == [
        "silent error in output",
        "10.0 dB, torchao 30.0 dB",
        "1.50x fp32",
        "export: differs",
    ]


def test_names_are_unique_and_many():
    names = [e.name for e in (*VISION, *TEXT, *AUDIO, *TABULAR, *TRAINED)]
    assert len(ENTRIES) == len(names) >= 80 and set(SMALL) <= ENTRIES.keys()
