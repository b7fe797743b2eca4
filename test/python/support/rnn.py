"""Recurrent ops: random nets, and the formulas of docs/numerics.md in numpy, each step exact."""

from dataclasses import dataclass, field

import numpy as np
import torch

import qnative  # noqa: F401
from support import reference
from support.strategies import integers

OPS = torch.ops.qnative
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


@dataclass
class Net:
    """Weights before packing."""

    cell: str
    input_size: int
    hidden: int
    proj: int = 0
    layers: int = 1
    directions: int = 1
    weights: list[torch.Tensor] = field(default_factory=list)
    scales: list[torch.Tensor] = field(default_factory=list)
    biases: list[torch.Tensor] = field(default_factory=list)

    @property
    def output(self) -> int:
        return self.proj or self.hidden

    def shapes(self, layer: int) -> list[tuple[int, int]]:
        """Shapes of the weights of one direction."""
        gates = GATES[self.cell] * self.hidden
        inputs = self.directions * self.output if layer else self.input_size
        projection = [(self.proj, self.hidden)] if self.proj else []
        return [(gates, inputs), (gates, self.output), *projection]

    def fill(self, g: torch.Generator, half: bool, bias: bool) -> "Net":
        for layer in range(self.layers):
            for shape in self.shapes(layer) * self.directions:
                if half:
                    self.weights.append((torch.randn(shape, generator=g) / 4).half())
                else:
                    self.weights.append(integers(shape, torch.int8, g))
                    self.scales.append(torch.rand(shape[0], generator=g) / 100 + 1e-3)
            if bias:
                n = GATES[self.cell] * self.hidden
                self.biases += torch.randn(2 * self.directions, n, generator=g).unbind()
        return self

    def packed(self) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """The arguments weights, weight_scales and biases."""
        pack = OPS.linear_pack if self.scales else OPS.linear_fp16_pack
        return [pack(weight) for weight in self.weights], self.scales, self.biases

    def sizes(self) -> list[int]:
        proj = [self.proj] if self.cell == "lstm" else []
        return [self.input_size, self.hidden, *proj, self.layers, self.directions == 2]

    def input_gates(self, x: np.ndarray, index: int) -> np.ndarray:
        """x @ w_ih; for int8 weights, the candidate gate adds the product of x's rounding error."""
        gates = self.project(x, index, 0)
        if self.scales and self.cell in ("lstm", "gru"):
            q, scale = reference.quantize_rows(x)
            i, gate = index * (3 if self.proj else 2), slice(2 * self.hidden, 3 * self.hidden)
            w, w_scale = self.weights[i][gate], self.scales[i][gate]
            rest = x - q.astype(np.float32) * scale
            gates[:, gate] += reference.linear_dynamic(rest, w, w_scale, None)
        return gates

    def project(self, x: np.ndarray, index: int, which: int) -> np.ndarray:
        """Rows times the weight `which` (ih, hh, hr) of a direction."""
        i = index * (3 if self.proj else 2) + which
        bias = self.biases[index * 2 + which] if self.biases and which < 2 else None
        if self.scales:
            return reference.linear_dynamic(x, self.weights[i], self.scales[i], bias)
        return reference.linear_fp16(x, self.weights[i], bias)


def exp(x: np.ndarray) -> np.ndarray:
    f32, fma = np.float32, reference.fma
    x = np.clip(x, f32(-87), f32(89))
    # Rounds to an integer: the sum has no fraction bits.
    n = fma(x, f32(1.44269504), f32(12582912)) - f32(12582912)
    r = fma(n, f32(-0.693359375), x)
    r = fma(n, f32(2.12194440e-4), r)
    p = f32(0.0013950723)
    for c in (0.008369025, 0.041666202, 0.16666518, 0.5):
        p = fma(p, r, f32(c))
    with np.errstate(over="ignore"):
        return (fma(r * r, p, r) + f32(1)) * np.ldexp(f32(1), n.astype(np.int32))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(1) / (np.float32(1) + exp(np.float32(0) - x))


def tanh(x: np.ndarray) -> np.ndarray:
    f32, fma = np.float32, reference.fma
    is_small = np.abs(x) < f32(0.625)
    z = np.where(is_small, x, f32(0))
    u, p = z * z, f32(-0.0056717712)
    for c in (0.020611582, -0.053732067, 0.13331361, -0.3333328):
        p = fma(p, u, f32(c))
    small = fma(z * u, p, z)
    large = f32(1) - f32(2) / (exp(np.abs(x) + np.abs(x)) + f32(1))
    return np.where(is_small, small, np.copysign(large, x))


def cell(name: str, a: np.ndarray, b: np.ndarray, h: np.ndarray, c: np.ndarray):
    """The next h and c from the gates of the input and of the hidden state, [B, gates * hidden]."""
    fma = reference.fma
    if name == "rnn_tanh":
        return tanh(a + b), c
    if name == "rnn_relu":
        return np.maximum(a + b, np.float32(0)), c
    if name == "gru":
        rz = sigmoid(a[:, : 2 * h.shape[1]] + b[:, : 2 * h.shape[1]])
        r, z = np.split(rz, 2, axis=1)
        n = tanh(fma(r, np.split(b, 3, axis=1)[2], np.split(a, 3, axis=1)[2]))
        return fma(z, h - n, n), c
    i, f, g, o = np.split(a + b, 4, axis=1)
    i, f, o = sigmoid(np.stack([i, f, o]))
    c = fma(f, c, i * tanh(g))
    return o * tanh(c), c


def run(net: Net, x: np.ndarray, batch_sizes: list[int], h0: np.ndarray, c0: np.ndarray):
    """x [rows, input]: the steps of batch_sizes one after the other. h0 [layers * directions, B,
    output], c0 [..., hidden]. Returns y [rows, directions * output] and the last h and c."""
    h, c = h0.copy(), c0.copy()
    ends = np.cumsum(batch_sizes)
    for layer in range(net.layers):
        outputs = []
        for d in range(net.directions):
            index = layer * net.directions + d
            y = np.empty((len(x), net.output), np.float32)
            steps = range(len(batch_sizes))
            for t in reversed(steps) if d else steps:
                m = batch_sizes[t]
                rows = slice(ends[t] - m, ends[t])
                state = h[index, :m], c[index, :m]
                a = net.input_gates(x[rows], index)
                b = net.project(state[0], index, 1)
                hidden, c[index, :m] = cell(net.cell, a, b, *state)
                h[index, :m] = net.project(hidden, index, 2) if net.proj else hidden
                y[rows] = h[index, :m]
            outputs.append(y)
        x = np.concatenate(outputs, axis=1)
    return x, h, c
