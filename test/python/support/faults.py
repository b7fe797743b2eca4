"""Faults planted into quantized models."""

import copy

import torch
from torch.fx import Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

import qnative
from qnative.lowering.module import VALUE

QUANTIZE = torch.ops.qnative.quantize_per_tensor.default


def copied(quantized, row):
    """A copy, and its node of a row."""
    module = copy.deepcopy(quantized)
    (node, *_) = [n for n in module.graph.nodes if n.meta.get(VALUE, ("",))[0] == row]
    return module, node


def set_argument(node: Node, name: str, value) -> None:
    names = [argument.name for argument in node.target._schema.arguments]
    node.update_arg(names.index(name), value)


def argument(node: Node, name: str):
    return node.args[[each.name for each in node.target._schema.arguments].index(name)]


def reads(value: Node):
    """The nodes that read a value, moved or not, and the names of their arguments."""
    for user in value.users:
        names = [each.name for each in user.target._schema.arguments]
        found = [
            names[i] for i, x in enumerate(user.args) if x is value and f"{names[i]}_scale" in names
        ]
        yield from ((user, name) for name in found)
        if not found:
            yield from reads(user)


def rescaled(quantized, row, scale, zero_point=None):
    """A row writes with another scale (given that it has), and all readers know."""
    module, node = copied(quantized, row)
    new = scale(argument(node, "y_scale"))
    for each, name in [(node, "y"), *reads(node)]:
        set_argument(each, f"{name}_scale", new)
        if zero_point is not None:
            set_argument(each, f"{name}_zero_point", zero_point)
    module.recompile()
    return module


def misread(quantized, row, factor):
    """The first reader of a row takes another scale. Returns the reader's row too."""
    module, node = copied(quantized, row)
    reader, name = next(reads(node))
    set_argument(reader, f"{name}_scale", factor * argument(reader, f"{name}_scale"))
    module.recompile()
    return module, reader.meta[VALUE][0]


def without_channel(quantized, row, channel):
    """The weights of an output channel are nearly 0."""
    module, node = copied(quantized, row)
    module.get_buffer(argument(node, "weight_scale").target)[channel] *= 1e-4
    module.get_buffer(argument(node, "bias").target)[channel] = 0
    return module


def with_coarse_weights(quantized, row, step=48):
    """Weights that are multiples of ``step``."""
    module, node = copied(quantized, row)
    op, shape = node.target._schema.name.split("::")[1], argument(node, "weight_shape")
    groups = [argument(node, "groups")] if "conv" in op else []
    buffer = module.get_buffer(argument(node, "weight").target)
    weight = getattr(torch.ops.qnative, f"{op}_unpack")(buffer, shape, *groups)
    coarse = ((weight.float() / step).round() * step).clamp(-128, 127).to(torch.int8)
    buffer.copy_(getattr(torch.ops.qnative, f"{op}_pack")(coarse, *groups))
    return module


def unguarded(model, batches):
    """Quantized by PT2E alone: nothing keeps a fault out of 8 bits."""
    exported = torch.export.export(model, (batches[0],)).module()
    prepared = prepare_pt2e(exported, qnative.Quantizer())
    for batch in batches:
        prepared(batch)
    return qnative.lower(convert_pt2e(prepared))
