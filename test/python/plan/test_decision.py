"""Decisions: one for each node, made by the quantizer, and read after convert and deepcopy."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import (
    convert_pt2e,
    prepare_pt2e,
    prepare_qat_pt2e,
)

import qnative
from qnative.backend_config import BackendConfig, BackendPatternConfig, DTypeConfig
from qnative.plan.decision import FREE, LOOKUP, UNDECIDED, Decision, decision_of
from qnative.plan.modes import DYNAMIC_INT8, STATIC

UINT8 = (torch.quint8, torch.quint8)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.rnn, self.fc = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x):
        y = F.pad(F.relu(self.norm(self.conv(x))), (1, 1, 1, 1))
        y, _ = self.rnn((y + 2).mean(3).transpose(1, 2))
        return torch.cumsum(self.fc(y), 1)


def exported(model=None, inputs=None):
    torch.manual_seed(0)
    inputs = inputs or (torch.randn(2, 3, 8, 8),)
    return torch.export.export((model or Net()).eval(), inputs).module(), inputs


def decisions(module):
    calls = [n for n in module.graph.nodes if n.op == "call_function"]
    return {node.name: decision_of(node) for node in calls if decision_of(node) is not None}


def plan(model=None, inputs=None, **options):
    module, _ = exported(model, inputs)
    return decisions(qnative.Quantizer(**options).annotate(module))


def test_every_call_has_one():
    module, _ = exported()
    qnative.Quantizer().annotate(module)
    keys = {key for n in module.graph.nodes for key in n.meta if key.startswith("qnative")}
    assert keys == {"qnative_decision"}
    assert all(decision_of(n) for n in module.graph.nodes if n.op == "call_function")


def test_what_is_decided():
    made = plan()
    conv = made["conv2d"]
    assert (conv.mode, conv.op, conv.row) == (STATIC, "conv2d", "torch.nn.Conv2d")
    assert str(conv.dtypes) == "(quint8 quint8 qint8)"
    # A BatchNorm that was not folded, with the activation that is part of it.
    assert (made["batch_norm"].op, made["batch_norm"].fused) == ("batch_norm", ("relu",))
    assert made["relu"].part_of == "batch_norm" and made["relu"].verdict == "fused"
    assert made["pad"].op == FREE and made["pad"].verdict == "free"
    assert made["add"].op == LOOKUP  # with a number
    assert (made["lstm"].mode, made["lstm"].op) == (DYNAMIC_INT8, "lstm")
    cumsum = made["cumsum"]
    assert (cumsum.mode, cumsum.verdict) == (UNDECIDED, "float")
    assert cumsum.reason == "the config 'qnative' has no row for aten.cumsum"


def test_it_is_a_value():
    decision = Decision(STATIC, "conv2d")
    assert decision == Decision(STATIC, "conv2d") and hash(decision) == hash(copy.copy(decision))
    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.op = "linear"


@pytest.mark.parametrize("is_qat", [False, True])
def test_it_survives_prepare_convert_and_deepcopy(is_qat):
    module, inputs = exported()
    prepare = prepare_qat_pt2e if is_qat else prepare_pt2e
    prepared = prepare(module, qnative.Quantizer(is_qat=is_qat))
    made = {d.op: d for d in decisions(prepared).values()}
    prepared(*inputs)
    converted = copy.deepcopy(convert_pt2e(copy.deepcopy(prepared)))
    kept = {d.op: d for d in decisions(converted).values()}
    ops = {"conv2d", "linear", "lstm", LOOKUP, "mean"}  # training renames their nodes
    assert {op: made[op] for op in ops} == {op: kept[op] for op in ops}
    lowered = qnative.lower(converted)
    kernels = {row.kernel for row in lowered.report.rows}
    assert {"qnative.conv2d", "qnative.linear", "qnative.lstm"} <= kernels


def test_a_row_cannot_name_an_op_that_computes_something_else():
    row = BackendPatternConfig(nn.Sigmoid).add_dtype_config(DTypeConfig(*UINT8)).set_ops("softmax")
    config = BackendConfig("mine").set_backend_pattern_config(row)
    sigmoid = plan(nn.Sigmoid(), (torch.randn(2, 3),), config=config)["sigmoid"]
    assert sigmoid.verdict == "float"
    assert sigmoid.reason == (
        "it runs in qnative.lookup, not in softmax as its row torch.nn.Sigmoid says"
    )


@pytest.mark.parametrize("op", ["", "lookup", "qnative::lookup"])
def test_a_row_need_not_name_its_op(op):
    row = BackendPatternConfig(nn.Sigmoid).add_dtype_config(DTypeConfig(*UINT8))
    config = BackendConfig("mine").set_backend_pattern_config(row.set_ops(op) if op else row)
    x = torch.randn(2, 3)
    quantized = qnative.quantize(nn.Sigmoid(), (x,), [x], backend_config=config)
    assert [row.kernel for row in quantized.report.rows] == ["qnative.lookup"]


def test_graphs_of_other_quantizers_have_none():
    """Nodes that torchao's quantizer for Inductor annotates run in the ops of the graph."""
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Linear(8, 4)

        def forward(self, x):
            x = F.relu(self.a(x))
            return self.fc(F.relu(self.b(x) + x).mean((2, 3)))

    module, inputs = exported(Block())
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(module, quantizer)
    prepared(*inputs)
    converted = convert_pt2e(prepared)
    assert not decisions(converted)
    lowered = qnative.lower(converted)
    kernels = [row.kernel for row in lowered.report.rows]
    assert kernels.count("qnative.conv2d") == 2 and "qnative.linear" in kernels
    assert (lowered(*inputs) - converted(*inputs)).abs().max() < 0.05
