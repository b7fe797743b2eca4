"""Models quantized with torch.ao.quantization, for the tests of qnative.migrate."""

import copy
import io
import warnings

import torch
import torch.ao.quantization as tq
import torch.nn.functional as F
from torch import nn
from torch.ao.quantization import quantize_fx

ENGINES = ["x86", "fbgemm", "onednn", "qnnpack"]


class Block(nn.Module):
    """A residual block of two convolutions; eager: the sum is a FloatFunctional."""

    def __init__(self, channels_in, channels, stride=1, eager=False):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.down = None
        if stride != 1 or channels_in != channels:
            self.down = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.relu2 = nn.ReLU()
        self.arithmetic = torch.ao.nn.quantized.FloatFunctional() if eager else None

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        shortcut = x if self.down is None else self.down(x)
        if self.arithmetic is not None:
            return self.arithmetic.add_relu(y, shortcut)
        return self.relu2(y + shortcut)

    def fuse(self):
        names = [["conv1", "bn1", "relu1"], ["conv2", "bn2"]]
        names += [] if self.down is None else [["down.0", "down.1"]]
        tq.fuse_modules(self, names, inplace=True)


class ResNet(nn.Module):
    """ResNet-18 with fewer channels."""

    def __init__(self, width=8, blocks=(2, 2, 2, 2), eager=False):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(3, 2, 1)
        stages, channels = [], width
        for i, count in enumerate(blocks):
            for j in range(count):
                out = width * 2**i
                stages.append(Block(channels, out, 2 if i > 0 and j == 0 else 1, eager))
                channels = out
        self.stages = nn.Sequential(*stages)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, 10)

    def forward(self, x):
        y = self.pool(self.relu(self.bn(self.conv(x))))
        return self.linear(torch.flatten(self.average(self.stages(y)), 1))

    def fuse(self):
        tq.fuse_modules(self, [["conv", "bn", "relu"]], inplace=True)
        for block in self.stages:
            block.fuse()


class Zoo(nn.Module):
    """As many kinds of static 8-bit nodes as fit into one small model."""

    def __init__(self):
        super().__init__()
        self.conv3d = nn.Conv3d(2, 4, (1, 3, 3), padding=(0, 1, 1))
        self.conv2d = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.conv1d = nn.Conv1d(8, 8, 3, padding=1, stride=2)
        self.linear = nn.Linear(8, 8)
        self.leaky = nn.LeakyReLU(0.2)
        self.hardswish = nn.Hardswish()
        self.elu = nn.ELU()

    def forward(self, x):
        y = self.conv3d(x).squeeze(2)
        y = F.relu(self.conv2d(y))
        y = self.hardswish(y) + torch.sigmoid(y)
        y = F.max_pool2d(self.up(y), 2)
        y = torch.cat([y, F.relu6(y)], 2).permute(0, 1, 3, 2).contiguous()
        y = self.leaky(self.conv1d(F.avg_pool2d(y, 2).flatten(2)))
        y = self.elu(y)
        y = y * torch.tanh(y) + 0.5
        a, b = torch.chunk(y.transpose(1, 2), 2, 1)
        y = self.linear((a + b).mean(1).unsqueeze(1))
        return F.hardtanh(y * 0.5)[:, 0]


def quiet(function, *args, **kwargs):
    """Calls a function of upstream without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def with_engine(engine, function, *args):
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        return quiet(function, *args)
    finally:
        torch.backends.quantized.engine = before


def fx_model(model, batches, engine):
    mapping = tq.get_default_qconfig_mapping(engine)
    prepared = quantize_fx.prepare_fx(copy.deepcopy(model).eval(), mapping, (batches[0],))
    for batch in batches:
        prepared(batch)
    return quantize_fx.convert_fx(prepared)


def eager_model(model, batches, engine):
    wrapped = tq.QuantWrapper(copy.deepcopy(model).eval()).eval()
    wrapped.module.fuse()
    wrapped.qconfig = tq.get_default_qconfig(engine)
    tq.prepare(wrapped, inplace=True)
    for batch in batches:
        wrapped(batch)
    return tq.convert(wrapped, inplace=True)


class Recurrent(nn.Module):
    """Tables, recurrent layers, cells and a linear layer."""

    def __init__(self, bag=True):
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.bag = nn.EmbeddingBag(20, 8, mode="sum") if bag else None
        self.lstm = nn.LSTM(8, 6, 2, bidirectional=True)
        self.gru = nn.GRU(12, 6)
        self.lstm_cell = nn.LSTMCell(6, 6)
        self.gru_cell = nn.GRUCell(6, 6)
        self.tanh_cell = nn.RNNCell(6, 6)
        self.relu_cell = nn.RNNCell(6, 6, nonlinearity="relu")
        self.linear = nn.Linear(6, 3)

    def forward(self, indices: torch.Tensor):
        y, (h, c) = self.lstm(self.table(indices))
        y, last = self.gru(y)
        state, _ = self.lstm_cell(y[0])
        state = self.tanh_cell(self.gru_cell(state, y[1]), y[2])
        bags = state if self.bag is None else self.bag(indices)
        return self.linear(y), h, c, last, self.relu_cell(state), bags


RECURRENT = (nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, nn.RNNCell)


def dynamic_model(model, bags=tq.float_qparams_weight_only_qconfig):
    """quantize_dynamic with int8 layers and 8-bit tables; bags: qconfig of nn.EmbeddingBag."""
    spec = dict.fromkeys((nn.Linear, *RECURRENT), tq.default_dynamic_qconfig)
    spec.update({nn.Embedding: tq.float_qparams_weight_only_qconfig, nn.EmbeddingBag: bags})
    return tq.quantize_dynamic(copy.deepcopy(model).eval(), spec)


def to_script(model, example, form):
    """form: script, trace or freeze (scripted, then frozen)."""
    if form == "trace":
        return torch.jit.trace(model, example)
    scripted = torch.jit.script(model).eval()
    return torch.jit.freeze(scripted) if form == "freeze" else scripted


def saved(module, path=None):
    """A file with the module, or its bytes without a path."""
    if path is None:
        buffer = io.BytesIO()
        torch.jit.save(module, buffer)
        return buffer.getvalue()
    torch.jit.save(module, path)
    return str(path)


def kinds(module):
    """All kinds of nodes and types of constants in all methods of a module and its submodules."""
    found = set()

    def visit(block):
        for node in block.nodes():
            found.add(node.kind())
            found.update(str(output.type()) for output in node.outputs())
            for inner in node.blocks():
                visit(inner)

    for each in module.modules():
        for name in each._c._method_names():
            visit(each._c._get_method(name).graph)
    return found


OLD_ATEN = {
    "aten::dequantize",
    "aten::int_repr",
    "aten::q_scale",
    "aten::q_zero_point",
    "aten::quantize_per_tensor",
    "aten::quantized_gru",
    "aten::quantized_lstm",
    "aten::_make_per_tensor_quantized_tensor",
}


def old_kinds(module):
    """The kinds that belong to torch's old quantization."""
    return {
        kind
        for kind in kinds(module)
        if kind.startswith("quantized::") or "torch.classes" in kind or kind in OLD_ATEN
    }


class Stuck(nn.Module):
    """One scale is an argument of the model."""

    def forward(self, x, scale: float):
        y = torch.quantize_per_tensor(x, 0.1, 128, torch.quint8)
        z = torch.quantize_per_tensor(y.dequantize() + 1.0, scale, 3, torch.quint8)
        return z.dequantize() + torch.relu(y).dequantize()


class Branches(nn.Module):
    def __init__(self, other_scale: float):
        super().__init__()
        self.other_scale = other_scale

    def forward(self, x, flag: bool, n: int):
        y = torch.quantize_per_tensor(x, 0.1, 128, torch.quint8)
        if flag:
            y = torch.ops.quantized.add(y, y, 0.2, 100)
        else:
            y = torch.ops.quantized.mul(y, y, self.other_scale, 100)
        for _ in range(n):
            y = torch.ops.quantized.add_relu(y, y, 0.2, 100)
        return y.dequantize()


class Stage(nn.Module):
    def forward(self, x):
        return torch.quantize_per_tensor(x, 0.1, 128, torch.quint8)
