"""Which values are int16: the residual stream of transformers, and nothing of other networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from qnative.backend_config import native
from qnative.graph import nodes as ir
from support.checks import through_trace
from support.nets import kernels_of

D = 16


class PreNorm(nn.Module):
    """Two blocks, a class token and positions."""

    def __init__(self, norm=nn.LayerNorm):
        super().__init__()
        self.embed, self.head = nn.Linear(8, D), nn.Linear(D, 4)
        self.token, self.position = (nn.Parameter(torch.randn(1, n, D)) for n in (1, 7))
        self.norms = nn.ModuleList(norm(D) for _ in range(3))
        self.up = nn.ModuleList(nn.Linear(D, 2 * D) for _ in range(2))
        self.down = nn.ModuleList(nn.Linear(2 * D, D) for _ in range(2))

    def forward(self, x):
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), self.embed(x)], 1) + self.position
        for norm, up, down in zip(self.norms, self.up, self.down, strict=False):
            x = x + down(F.gelu(up(norm(x))))
        return self.head(self.norms[-1](x)[:, 0])


class PostNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down, self.out = nn.Linear(D, 2 * D), nn.Linear(2 * D, D), nn.Linear(D, D)
        self.first, self.last = nn.LayerNorm(D), nn.LayerNorm(D)

    def forward(self, x):
        x = self.first(x + self.out(x))
        return self.last(x + self.down(F.gelu(self.up(x))))


class Scaled(nn.Module):
    """A factor for each channel on the branch."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm, self.gamma = (
            nn.Linear(D, D),
            nn.LayerNorm(D),
            nn.Parameter(torch.rand(D)),
        )

    def forward(self, x):
        return self.fc(self.norm(x + self.gamma * self.fc(x)))


class Residual(nn.Module):
    """Without a norm but BatchNorm."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x):
        x = F.relu(self.first(x))
        return x + self.bn(self.second(x))


def quantized(model, *shape, **options):
    torch.manual_seed(1)
    data = [torch.randn(4, *shape) for _ in range(8)]
    return qnative.quantize(model.eval(), (data[0],), data, strict=True, **options), data[0]


def words_of(module):
    """The ops that give int16, and those that read it."""
    gives, reads = [], []
    for node in module.graph.nodes:
        name = ir.op_name(node).removeprefix("qnative.")
        args = ir.bind(node) if node.op == "call_function" else {}
        if torch.int16 in (args.get("y_dtype"), args.get("dtype")):
            gives.append(name)
        if any(
            torch.int16 in (ir.bind(x).get("y_dtype"),)
            for x in node.all_input_nodes
            if x.op == "call_function"
        ):
            reads.append(name)
    return gives, reads


@pytest.mark.parametrize("norm, name", [(nn.LayerNorm, "layer_norm"), (nn.RMSNorm, "rms_norm")])
def test_stream_of_a_pre_norm_network(norm, name):
    torch.manual_seed(0)
    model = PreNorm(norm)
    module, x = quantized(model, 6, 8)
    gives, reads = words_of(module)
    # The positions are quantized when lowering, the token in each call, for every batch.
    wanted = ["quantize_per_tensor", "linear", "cat", "add"]
    assert sorted(gives) == sorted([*wanted, *["linear", "add"] * 2])
    assert reads.count(name) == 3 and "requantize" not in reads and "lookup" not in reads
    rows = {row.name: row for row in module.report.rows}
    assert rows["add"].reason == "its output is int16"
    (output,) = module.report.outputs
    assert output.sqnr > 35
    assert torch.equal(through_trace(module, x)(x), module(x))


def test_the_config_decides():
    torch.manual_seed(0)
    config = native.get_native_backend_config()
    module, _ = quantized(Scaled(), D, backend_config=config)
    assert words_of(module) == ([], [])


def test_post_norm_requantizes_once():
    torch.manual_seed(0)
    module, _ = quantized(PostNorm(), D)
    gives, reads = words_of(module)
    assert gives.count("layer_norm") == 1 and gives.count("add") == 2
    assert reads.count("requantize") == 1
    assert kernels_of(module).count("requantize") == 1


def test_factors_of_a_branch():
    torch.manual_seed(0)
    module, _ = quantized(Scaled(), D)
    gives, _ = words_of(module)
    assert "mul" in gives and "add" in gives and gives.count("linear") == 1


def test_sums_of_convolutions_stay_in_8_bits():
    torch.manual_seed(0)
    module, _ = quantized(Residual(), 4, 6, 6)
    assert words_of(module) == ([], [])


def test_decisions_name_int16():
    torch.manual_seed(0)
    run = qnative.dry_run(PreNorm().eval(), (torch.randn(4, 6, 8),))
    rows = {row.name: row for row in run.rows}
    assert rows["add"].dtypes == "(int16 int16 None)"
    assert rows["layer_norm"].dtypes == "(int16 quint8 None)"
    assert rows["linear"].dtypes == "(quint8 int16 qint8)"
    assert rows["cat"].dtypes == "(int16 int16 None)"
