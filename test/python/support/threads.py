"""Calls of every op that are large enough for several threads, and a child process that counts
the threads."""

import functools
import multiprocessing
import os
from types import SimpleNamespace

import torch

import qnative  # noqa: F401
from support.rnn import Net
from support.strategies import generator, integers

OPS = torch.ops.qnative
U8, S8 = torch.uint8, torch.int8
Q = (0.1, 7)
OUT = (0.3, 3, U8)


@functools.cache
def data() -> SimpleNamespace:
    """Made on demand, after the number of threads is set."""
    g = generator(0)
    scale = torch.rand(64, generator=g) / 100 + 1e-3
    image = integers((2, 64, 56, 56), U8, g)
    return SimpleNamespace(
        rows=image.view(128, 3136),
        plain=image,
        image=image.contiguous(memory_format=torch.channels_last),
        real=torch.randn(2, 64, 56, 56, generator=g),
        halves=torch.randn(2, 64, 56, 56, generator=g).half(),
        scale=scale,
        contiguous=image,
        shift=torch.randn(64, generator=g),
        table=integers((256,), U8, g),
        rows_of=torch.randn(2000, 64, generator=g),
        embedding=OPS.embedding_8bit_pack(torch.randn(2000, 64, generator=g)),
        indices=torch.randint(0, 2000, (500, 20), generator=g),
        linear=OPS.linear_pack(integers((64, 3136), S8, g)),
        half=OPS.linear_fp16_pack(torch.randn(64, 3136, generator=g)),
        packed_4bit=OPS.linear_4bit_pack(torch.randn(64, 3136, generator=g), 32),
        dense=OPS.conv2d_pack(integers((64, 64, 3, 3), S8, g), 1),
        depthwise=OPS.conv2d_pack(integers((64, 1, 3, 3), S8, g), 64),
        sequence=torch.randn(4, 40, 256, generator=g),
        lstm=rnn("lstm", g),
        lstm_half=rnn("lstm", g, half=True),
        gru=rnn("gru", g),
    )


def rnn(cell: str, g: torch.Generator, half: bool = False) -> tuple:
    net = Net(cell, 256, 512).fill(g, half, bias=True)
    return (*net.packed(), *net.sizes(), False)


def heads(x: torch.Tensor) -> tuple:
    """Of 64 columns: q, k and v with their scales and zero points."""
    x = x.reshape(*x.shape[:2], -1, 64)
    return (x, *Q) * 3


def conv2d(d: SimpleNamespace, weight: torch.Tensor, groups: int) -> torch.Tensor:
    shape = [64, 64 // groups, 3, 3]
    return OPS.conv2d(d.image, *Q, weight, d.scale, None, shape, [1], [1], [1], groups, *OUT)


def conv_nd(d: SimpleNamespace, op: str, groups: int = 1) -> torch.Tensor:
    """The image as a line, a plane or a block."""
    dims = int(op[-2])
    x = d.plain.view(2, 64, *{1: [3136], 2: [56, 56], 3: [14, 14, 16]}[dims])
    shape = [64, 64 // groups, *[3] * dims]
    weight = getattr(OPS, f"{op}_pack")(integers(shape, S8, generator(1)), groups)
    window = [[1], [1], *([[0]] if "transpose" in op else []), [1]]
    return getattr(OPS, op)(x, *Q, weight, d.scale, None, shape, *window, groups, *OUT)


def conv_dynamic(d: SimpleNamespace, op: str, batch: int, groups: int = 1) -> torch.Tensor:
    """As conv_nd, of float32 images."""
    dims = int(op[-2])
    x = d.real.view(2, 64, *{1: [3136], 2: [56, 56], 3: [14, 14, 16]}[dims])[:batch]
    shape = [64, 64 // groups, *[3] * dims]
    weight = getattr(OPS, f"{op}_pack")(integers(shape, S8, generator(1)), groups)
    window = [[1], [1], *([[0]] if "transpose" in op else []), [1]]
    return getattr(OPS, f"{op}_dynamic")(x, weight, d.scale, None, shape, *window, groups)


def quantize_per_channel(d: SimpleNamespace) -> torch.Tensor:
    return OPS.quantize_per_channel(d.real, d.scale, torch.zeros(64, dtype=torch.int64), 1, S8)


def batch_norm(d: SimpleNamespace, x: torch.Tensor) -> torch.Tensor:
    return OPS.batch_norm(x, *Q, d.scale, d.shift, d.shift, d.scale, 1e-5, *OUT)


def group_norm(d: SimpleNamespace, x: torch.Tensor, groups: int) -> torch.Tensor:
    return OPS.group_norm(x, *Q, groups, d.scale, d.shift, 1e-5, *OUT)


def instance_norm(d: SimpleNamespace) -> torch.Tensor:
    return OPS.instance_norm(d.image, *Q, None, d.shift, None, None, True, 1e-5, *OUT)


CASES = {
    "quantize_per_tensor": lambda d: OPS.quantize_per_tensor(d.real, *Q, U8),
    "dequantize_per_tensor": lambda d: OPS.dequantize_per_tensor(d.image, *Q),
    "quantize_per_channel": quantize_per_channel,
    "dequantize_per_channel": lambda d: OPS.dequantize_per_channel(d.image, d.scale, None, 1),
    "choose_qparams": lambda d: OPS.choose_qparams(d.real, U8)[0],
    "linear": lambda d: OPS.linear(d.rows, *Q, d.linear, d.scale, None, [64, 3136], *OUT),
    "linear_dynamic": lambda d: OPS.linear_dynamic(
        d.real.view(128, 3136), d.linear, d.scale, None, [64, 3136]
    ),
    "linear_dynamic_fp16": lambda d: OPS.linear_dynamic_fp16(
        d.real.view(128, 3136), d.half, None, [64, 3136]
    ),
    "linear_fp16": lambda d: OPS.linear_fp16(
        d.real.view(128, 3136).half(), d.half, None, [64, 3136]
    ),
    "linear_4bit": lambda d: OPS.linear_4bit(
        d.real.view(128, 3136), d.packed_4bit, None, [64, 3136], 32
    ),
    "matmul": lambda d: OPS.matmul(d.rows, *Q, d.rows.t(), *Q, 900.0, 3, U8),
    "matmul batched": lambda d: OPS.matmul(d.image, *Q, d.image.mT, *Q, 900.0, 3, U8),
    # Heads, and the rows of one head, are shared out.
    "attention": lambda d: OPS.attention(*heads(d.image), 0.1, 7, U8),
    "attention causal": lambda d: OPS.attention(
        *heads(d.plain[:1].view(1, 1, -1)), 0.1, 7, U8, None, True
    ),
    "attention_dynamic": lambda d: OPS.attention_dynamic(*[d.real.flatten(0, 1)] * 3),
    "attention_dynamic of one head": lambda d: OPS.attention_dynamic(*[d.rows_of] * 3),
    "attention_dynamic of few rows": lambda d: OPS.attention_dynamic(
        d.real.flatten(0, 1)[:, :1], *[d.real.flatten(0, 1)] * 2
    ),
    "conv2d": lambda d: conv2d(d, d.dense, 1),
    "conv2d depthwise": lambda d: conv2d(d, d.depthwise, 64),
    **{
        op: lambda d, op=op: conv_nd(d, op)
        for op in ("conv1d", "conv3d", *(f"conv_transpose{dims}d" for dims in (1, 2, 3)))
    },
    "conv1d depthwise": lambda d: conv_nd(d, "conv1d", 64),
    "conv_transpose2d depthwise": lambda d: conv_nd(d, "conv_transpose2d", 64),
    **{
        f"{op}_dynamic": lambda d, op=op: conv_dynamic(d, op, 1)
        for op in (f"conv{kind}{dims}d" for kind in ("", "_transpose") for dims in (1, 2, 3))
    },
    # Two images for three threads: the second is shared out.
    "conv2d_dynamic of images": lambda d: conv_dynamic(d, "conv2d", 2),
    "conv1d_dynamic depthwise": lambda d: conv_dynamic(d, "conv1d", 2, 64),
    "add": lambda d: OPS.add(d.image, *Q, d.image, *Q, *OUT),
    "add broadcast": lambda d: OPS.add(d.image, *Q, d.image[:1, :, :1], *Q, *OUT),
    "mul": lambda d: OPS.mul(d.image, *Q, d.image, *Q, *OUT),
    "cat": lambda d: OPS.cat([d.image, d.image], [0.1, 0.2], [7, 7], 1, *OUT),
    "lookup": lambda d: OPS.lookup(d.image, d.table),
    # One row is split by columns; several are split by rows, without a barrier at each step.
    "lstm": lambda d: OPS.lstm(d.sequence, None, None, *d.lstm)[0],
    "lstm of one row": lambda d: OPS.lstm(d.sequence[:, :1], None, None, *d.lstm)[0],
    "lstm of float16": lambda d: OPS.lstm(d.sequence, None, None, *d.lstm_half)[0],
    "gru": lambda d: OPS.gru(d.sequence, None, *d.gru)[0],
    "embedding_8bit": lambda d: OPS.embedding_8bit(d.embedding, d.indices),
    "embedding_4bit": lambda d: OPS.embedding_4bit(d.embedding, 128, d.indices),
    "embedding_bag_8bit": lambda d: OPS.embedding_bag_8bit(d.embedding, d.indices),
    "embedding_bag_4bit": lambda d: OPS.embedding_bag_4bit(d.embedding, 128, d.indices),
    "embedding_8bit_pack": lambda d: OPS.embedding_8bit_pack(d.rows_of),
    "embedding_4bit_pack": lambda d: OPS.embedding_4bit_pack(d.rows_of),
    "max_pool2d": lambda d: OPS.max_pool2d(d.image, [3], [2], [1]),
    "avg_pool2d": lambda d: OPS.avg_pool2d(d.image, *Q, [3], [2], [1], False, True, None, *OUT),
    "adaptive_avg_pool2d": lambda d: OPS.adaptive_avg_pool2d(d.image, *Q, [7], *OUT),
    "max_pool1d": lambda d: OPS.max_pool1d(d.image.flatten(2), [3], [2], [1]),
    "max_pool3d": lambda d: OPS.max_pool3d(d.image.unsqueeze(1), [3], [2], [1]),
    "interpolate": lambda d: OPS.interpolate(d.image, *Q, None, [2.0], "bilinear", False, *OUT),
    "interpolate nearest": lambda d: OPS.interpolate(
        d.image, *Q, None, [2.0], "nearest", None, *OUT
    ),
    "mean": lambda d: OPS.mean(d.image, *Q, [2, 3], False, *OUT),
    "add_fp16": lambda d: OPS.add_fp16(d.halves, d.halves),
    "mul_fp16 broadcast": lambda d: OPS.mul_fp16(d.halves, d.halves[:1, :, :1]),
    "pointwise_fp16": lambda d: OPS.pointwise_fp16(d.halves, "tanh"),
    "matmul_fp16": lambda d: OPS.matmul_fp16(
        d.halves.view(128, 3136), d.halves.view(128, 3136).t()
    ),
    "matmul_fp16 batched": lambda d: OPS.matmul_fp16(d.halves, d.halves.mT),
    "softmax_fp16": lambda d: OPS.softmax_fp16(d.halves, -1),
    "softmax_fp16 of channels": lambda d: OPS.softmax_fp16(d.halves, 1),
    "max_pool2d of float16": lambda d: OPS.max_pool2d(d.halves, [3], [2], [1]),
    "avg_pool2d_fp16": lambda d: OPS.avg_pool2d_fp16(d.halves, [3], [2], [1], False, True, None),
    "adaptive_avg_pool2d_fp16": lambda d: OPS.adaptive_avg_pool2d_fp16(d.halves, [7]),
    "mean_fp16": lambda d: OPS.mean_fp16(d.halves, [2, 3], False),
    "interpolate_fp16": lambda d: OPS.interpolate_fp16(d.halves, None, [2.0], "bilinear", False),
    "interpolate_fp16 nearest": lambda d: OPS.interpolate_fp16(
        d.halves, None, [2.0], "nearest", None
    ),
    "layer_norm": lambda d: OPS.layer_norm(d.rows, *Q, [3136], None, None, 1e-5, *OUT),
    "group_norm": lambda d: group_norm(d, d.contiguous, 8),
    "group_norm one group": lambda d: group_norm(d, d.contiguous[:1], 1),
    "group_norm channels_last": lambda d: group_norm(d, d.image[:1], 8),
    "instance_norm": instance_norm,
    "batch_norm": lambda d: batch_norm(d, d.contiguous),
    "batch_norm channels_last": lambda d: batch_norm(d, d.image),
    "softmax": lambda d: OPS.softmax(d.rows, *Q, -1, 1 / 256, 0, U8),
    "softmax of channels": lambda d: OPS.softmax(d.image, *Q, 1, 1.0, 0, torch.float32),
    "prelu": lambda d: OPS.prelu(d.contiguous, *Q, d.shift, *OUT),
}


def started_threads(name: str, counts: list[int]) -> list[int]:
    """Threads that the process gets in a call with each number of threads."""
    started = []
    for count in counts:
        torch.set_num_threads(count)
        before = len(os.listdir("/proc/self/task"))
        CASES[name](data())
        started.append(len(os.listdir("/proc/self/task")) - before)
    return started


def answer(connection, request: tuple) -> None:
    connection.send(started_threads(*request))


def serve(connection) -> None:
    """Runs ``started_threads(*request)`` for each request in a fork of this process, which has no
    thread pool. Answers with the result, or None if the fork fails."""
    torch.set_num_threads(1)
    data()
    context = multiprocessing.get_context("fork")
    while True:
        try:
            request = connection.recv()
        except EOFError:  # the tests are over
            return
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=answer, args=(theirs, request))
        child.start()
        theirs.close()
        child.join(60)
        connection.send(ours.recv() if child.exitcode == 0 else None)
