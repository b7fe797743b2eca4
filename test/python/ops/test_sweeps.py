"""Every op of the registry has a sweep: see support.isas.sweep."""

import runpy
from pathlib import Path

import pytest
import torch

from support import isas
from support.opcheck import registered


def test_every_op_is_swept():
    modules = [runpy.run_path(str(path)) for path in Path(__file__).parent.glob("test_*.py")]
    assert registered() == set().union(*map(isas.swept_ops, modules))


@pytest.mark.parametrize(
    "x",
    [
        torch.tensor(3.0),
        torch.arange(24).view(2, 3, 4)[:, ::2].transpose(0, 2),
        torch.arange(5.0).half().expand(3, 5)[1:],
        torch.empty(2, 0),
    ],
)
def test_tensors_keep_their_layout_between_processes(x):
    y = isas.pickle.loads(isas.dumps([x]))[0]
    assert isas.same(x, y) and y.storage_offset() == x.storage_offset()


def test_differences_are_seen():
    x = torch.tensor([0.0, float("nan")])
    assert isas.same(x, x.clone())
    assert not isas.same(x, torch.tensor([-0.0, float("nan")]))
    assert not isas.same(x.expand(2, 2), x.expand(2, 2).contiguous())
    assert not isas.same(x, "an error")


def test_a_child_with_another_answer_fails_the_call(monkeypatch):
    class Wrong:
        def send_bytes(self, request):
            pass

        def recv_bytes(self):
            return isas.dumps(torch.tensor([1], dtype=torch.uint8))

    monkeypatch.setattr(isas, "children", lambda: {"scalar": Wrong()})
    x, table = torch.zeros(1, dtype=torch.uint8), torch.zeros(256, dtype=torch.uint8)
    with pytest.raises(AssertionError, match="scalar"):
        isas.OPS.lookup(x, table)


def test_children_run_their_own_isa():
    children, own = isas.children(), isas.best_isa()
    assert own not in children and "scalar" in {own, *children}
    connection = isas.child("none")
    assert connection.recv() is None
    x, table = torch.zeros(1, dtype=torch.uint8), torch.zeros(256, dtype=torch.uint8)
    connection.send_bytes(isas.dumps(("lookup", (x, table), {})))
    answer = isas.pickle.loads(connection.recv_bytes())
    assert "QNATIVE_ISA must be one of" in answer and "got 'none'" in answer
