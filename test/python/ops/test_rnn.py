"""The recurrent ops against their formulas, bit by bit."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support import rnn
from support.isas import OPS, sweep
from support.rnn import Net
from support.strategies import generator, layouts, seeds, strided


def states(net, batch, g):
    leading = net.layers * net.directions, batch
    return torch.randn(*leading, net.output, generator=g), torch.randn(
        *leading, net.hidden, generator=g
    )


def expected(net, rows, batch_sizes, h0, c0):
    arrays = (t.numpy() for t in (rows, h0, c0))
    x, h0, c0 = arrays
    y, h, c = map(torch.from_numpy, rnn.run(net, x, batch_sizes, h0, c0))
    return (y, h, c) if net.cell == "lstm" else (y, h)


def check(outputs, wanted):
    for y, z in zip(outputs, wanted, strict=True):
        assert torch.equal(y, z)


@st.composite
def nets(draw, g, cell):
    hidden = draw(st.integers(1, 20))
    projects = cell == "lstm" and hidden > 1 and draw(st.booleans())
    net = Net(
        cell,
        draw(st.integers(1, 12)),
        hidden,
        draw(st.integers(1, hidden - 1)) if projects else 0,
        draw(st.integers(1, 2)),
        draw(st.integers(1, 2)),
    )
    return net.fill(g, half=draw(st.booleans()), bias=draw(st.booleans()))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@sweep("{cell}")
@given(seeds, st.integers(1, 3), st.integers(0, 4), st.data())
def test_sequence_equals_formula(cell, seed, steps, batch, data):
    g = generator(seed)
    net = data.draw(nets(g, cell))
    form = data.draw(st.sampled_from(["[T, B]", "[B, T]", "[T]"]))
    batch = 1 if form == "[T]" else batch
    x = torch.randn(steps, batch, net.input_size, generator=g)
    x = x * data.draw(st.sampled_from([1e-3, 1.0, 1e3]))
    h0, c0 = states(net, batch, g)
    if data.draw(st.booleans()):
        h0, c0 = torch.zeros_like(h0), torch.zeros_like(c0)
        given_states = [None, None]
    else:
        given_states = [h0[:, 0], c0[:, 0]] if form == "[T]" else [h0, c0]
    given_states = given_states[: 2 if net.cell == "lstm" else 1]
    y, *last = expected(net, x.flatten(0, 1), [batch] * steps, h0, c0)
    y = y.view(steps, batch, net.directions * net.output)
    if form == "[T]":
        x, y, last = x[:, 0], y[:, 0], [state[:, 0] for state in last]
    elif form == "[B, T]":
        x, y = x.transpose(0, 1), y.transpose(0, 1)
    x = strided(x, data.draw(layouts))
    op = getattr(OPS, net.cell)
    check(op(x, *given_states, *net.packed(), *net.sizes(), form == "[B, T]"), [y, *last])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@sweep("{cell}.data")
@given(seeds, st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_packed_sequence_equals_formula(cell, seed, batch_sizes, data):
    g = generator(seed)
    net = data.draw(nets(g, cell))
    batch_sizes = sorted(batch_sizes, reverse=True)
    rows = torch.randn(sum(batch_sizes), net.input_size, generator=g)
    h0, c0 = states(net, batch_sizes[0], g)
    given_states = [h0, c0] if net.cell == "lstm" else [h0]
    op = getattr(OPS, net.cell).data
    arguments = (*given_states, *net.packed(), *net.sizes())
    before = [state.clone() for state in given_states]
    y = op(strided(rows, data.draw(layouts)), torch.tensor(batch_sizes), *arguments)
    check(y, expected(net, rows, batch_sizes, h0, c0))
    check(given_states, before)


@pytest.mark.parametrize("cell", list(rnn.GATES))
@sweep("{cell}_cell")
@given(seeds, st.integers(0, 4), st.data())
def test_cell_equals_formula(cell, seed, batch, data):
    g = generator(seed)
    net = Net(cell, data.draw(st.integers(1, 12)), data.draw(st.integers(1, 40)))
    net.fill(g, half=data.draw(st.booleans()), bias=data.draw(st.booleans()))
    is_row, has_states = data.draw(st.booleans()), data.draw(st.booleans())
    batch = 1 if is_row else batch
    x = torch.randn(batch, net.input_size, generator=g)
    h0, c0 = (state * has_states for state in states(net, batch, g))
    wanted = expected(net, x, [batch], h0, c0)[1:]
    wanted = [state[0, 0] if is_row else state[0] for state in wanted]
    count = len(wanted)
    given_states = [h0[0], c0[0]][:count] if has_states else [None] * count
    if is_row:
        x, given_states = x[0], [s if s is None else s[0] for s in given_states]
    x = strided(x, data.draw(layouts))
    y = getattr(OPS, f"{cell}_cell")(x, *given_states, *net.packed(), net.input_size, net.hidden)
    check(y if cell == "lstm" else [y], wanted)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("half", [False, True])
def test_large_batches_equal_formula(cell, half):
    """Several chunks of steps, rows split over tasks, more columns than a tile."""
    g = generator(0)
    sizes = (10, 40) if half else (70, 150)  # sequential fma is slow in numpy
    net = Net(cell, *sizes, directions=2).fill(g, half, bias=True)
    batch_sizes = [150, 150, 149, 33, 17, 1]
    rows = torch.randn(sum(batch_sizes), net.input_size, generator=g)
    h0, c0 = states(net, batch_sizes[0], g)
    given_states = [h0, c0] if cell == "lstm" else [h0]
    op = getattr(OPS, cell).data
    y = op(rows, torch.tensor(batch_sizes), *given_states, *net.packed(), *net.sizes())
    check(y, expected(net, rows, batch_sizes, h0, c0))


def test_formulas_of_the_functions_are_accurate():
    x = np.linspace(-30, 30, 200001).astype(np.float32)
    x = np.concatenate([x, np.float32([-200, 200, 1e-30, -1e-30, 0])])
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(rnn.sigmoid(x), 1 / (1 + np.exp(-wide)), 0, 2e-7)
    np.testing.assert_allclose(rnn.tanh(x), np.tanh(wide), 3e-7, 2e-7)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_non_finite_values_stay_in_their_sequence(cell, value):
    g = generator(0)
    net = Net(cell, 5, 7).fill(g, half=False, bias=True)
    x = torch.randn(4, 3, 5, generator=g)
    arguments = ([None] * (2 if cell == "lstm" else 1), net.packed(), net.sizes(), [False])
    arguments = [value for part in arguments for value in part]
    op = getattr(OPS, cell)
    want = op(x, *arguments)[0]
    x[2, 1, 4] = value
    y = op(x, *arguments)[0]
    assert torch.equal(y[:, ::2], want[:, ::2]) and torch.equal(y[:2], want[:2])
    assert y[2:, 1].isnan().all()


def test_relu_keeps_nan():
    net = Net("rnn_relu", 5, 33).fill(generator(0), half=False, bias=True)
    x = torch.tensor([[math.nan] * 5, [1.0] * 5])
    y = OPS.rnn_relu_cell(x, None, *net.packed(), 5, 33)
    assert y[0].isnan().all() and not y[1].isnan().any()


def test_any_number_of_steps_of_an_empty_batch():
    net = Net("lstm", 4, 6).fill(generator(0), half=False, bias=True)
    x = torch.empty(2**50, 0, 4)
    y, h, c = OPS.lstm(x, None, None, *net.packed(), *net.sizes(), False)
    assert y.shape == (2**50, 0, 6) and h.shape == c.shape == (1, 0, 6)
