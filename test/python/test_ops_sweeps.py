"""Every op of the registry is swept: see ops_isas.sweep."""

import importlib
from pathlib import Path

import ops_isas
import pytest
import torch
from test_ops_opcheck import registered


def test_every_op_is_swept():
    modules = [
        importlib.import_module(path.stem) for path in Path(__file__).parent.glob("test_ops_*.py")
    ]
    assert registered() == set().union(*map(ops_isas.swept_ops, modules))


@pytest.mark.parametrize(
    "x",
    [
        torch.tensor(3.0),
        torch.arange(24).view(2, 3, 4)[:, ::2].transpose(0, 2),
        torch.arange(5.0).half().expand(3, 5)[1:],
        torch.empty(2, 0),
    ],
)
def test_tensors_travel_as_they_are(x):
    y = ops_isas.pickle.loads(ops_isas.dumps([x]))[0]
    assert ops_isas.same(x, y) and y.storage_offset() == x.storage_offset()


def test_differences_are_seen():
    x = torch.tensor([0.0, float("nan")])
    assert ops_isas.same(x, x.clone())
    assert not ops_isas.same(x, torch.tensor([-0.0, float("nan")]))
    assert not ops_isas.same(x.expand(2, 2), x.expand(2, 2).contiguous())
    assert not ops_isas.same(x, "an error")


def test_a_child_with_another_answer_fails_the_call(monkeypatch):
    class Wrong:
        def send_bytes(self, request):
            pass

        def recv_bytes(self):
            return ops_isas.dumps(torch.tensor([1], dtype=torch.uint8))

    monkeypatch.setattr(ops_isas, "children", lambda: {"scalar": Wrong()})
    x, table = torch.zeros(1, dtype=torch.uint8), torch.zeros(256, dtype=torch.uint8)
    with pytest.raises(AssertionError, match="scalar"):
        ops_isas.OPS.lookup(x, table)


def test_children_run_their_own_isa():
    children, own = ops_isas.children(), ops_isas.best_isa()
    assert own not in children and "scalar" in {own, *children}
    connection = ops_isas.child("none")
    assert connection.recv() is None
    x, table = torch.zeros(1, dtype=torch.uint8), torch.zeros(256, dtype=torch.uint8)
    connection.send_bytes(ops_isas.dumps(("lookup", (x, table), {})))
    answer = ops_isas.pickle.loads(connection.recv_bytes())
    assert "QNATIVE_ISA must be one of" in answer and "got 'none'" in answer
