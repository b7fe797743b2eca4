"""Calls of recurrent layers and cells."""

from typing import Any


def recurrent_parameters(args: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Weights and biases of a recurrent call, each in torch's order."""
    if "params" not in args:
        biases = [args["b_ih"], args["b_hh"]]
        return [args["w_ih"], args["w_hh"]], [] if None in biases else biases
    params = list(args["params"])
    if not args["has_biases"]:
        return params, []
    weights: list[Any] = []
    biases = []
    for own in parameters_by_direction(args):
        weights += [*own[:2], *own[4:]]
        biases += own[2:4]
    return weights, biases


def parameters_by_direction(args: dict[str, Any]) -> list[list[Any]]:
    """The parameters of each direction of each layer: weights of the input and of the state, their
    biases if it has any, the weight of the projection if it has one."""
    params = list(args["params"])
    directions = args["num_layers"] * (2 if args["bidirectional"] else 1)
    each = len(params) // directions
    return [params[i : i + each] for i in range(0, len(params), each)]
