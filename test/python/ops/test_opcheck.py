"""torch.library.opcheck on the calls of support/opcheck.py; an op without a call fails."""

import pytest
import torch

from support.opcheck import CASES, OPS, registered


def test_every_op_has_a_case():
    assert registered() == set(CASES)


@pytest.mark.parametrize(
    "name, args",
    [
        pytest.param(name, args, id=f"{name}-{i}")
        for name in CASES
        for i, args in enumerate(CASES[name])
    ],
)
def test_opcheck(name, args):
    packet, _, overload = name.partition(".")
    op = getattr(getattr(OPS, packet), overload or "default")
    utils = ["test_schema", "test_autograd_registration", "test_faketensor"]
    if torch.Tag.dynamic_output_shape not in op.tags:  # no graph has these ops
        utils.append("test_aot_dispatch_dynamic")
    torch.library.opcheck(op, args, test_utils=utils)
