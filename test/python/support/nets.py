"""Small seeded networks, and the steps of the PT2E flow, for the tests of the Python front end."""

import torch
import torch.nn.functional as F
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

import qnative


class ConvBnRelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.bn(self.conv(x)))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        x = self.a(x)
        return F.relu(x + self.b(x))


class Head(nn.Module):
    """Pool, view and a linear layer that ends in float."""

    def __init__(self, pool):
        super().__init__()
        self.conv, self.pool, self.fc = nn.Conv2d(3, 8, 3), pool, nn.Linear(8, 5)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = self.pool(F.relu(self.conv(x)))
        return self.fc(self.dropout(x.view(x.shape[0], 8)))


class Functional(nn.Module):
    """Functional, method and in-place forms."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3) * 0.2)
        self.bias = nn.Parameter(torch.randn(8))
        self.linear_weight = nn.Parameter(torch.randn(6, 8) * 0.3)

    def forward(self, x):
        x = F.conv2d(x, self.weight, self.bias, dilation=2)
        x = F.relu_(x)
        x = F.max_pool2d(x, 2).mean((2, 3))
        x = F.linear(x, self.linear_weight).tanh()
        x += 0.5
        return torch.mul(x, 2.0).flatten(1)


class Branches(nn.Module):
    """cat of three branches, one with fixed quantization parameters, and an op that reads it."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, x):
        a, b = self.a(x), F.relu6(self.b(x))
        return F.max_pool2d(torch.cat([a, b, torch.sigmoid(a)], 1), 2, 1)


class Same(nn.Module):
    """cat of branches that can share one observer, and an op that reads it."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return F.max_pool2d(torch.cat([self.a(x), self.b(x)], 1), 2, 1)


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return F.relu(self.a(x) * self.b(x))


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x):
        return self.fc(F.relu(self.fc(x)))


def sequential(*modules):
    return lambda: nn.Sequential(*modules)


def conv(*args, **kwargs):
    return lambda: nn.Conv2d(*args, **kwargs)


IMAGE = (4, 3, 14, 15)
WIDE = (4, 8, 9, 10)
ROWS = (5, 12)

# name: (constructor, input shape, qnative ops in order, without (de)quantize)
NETS = {
    "conv_bn_relu": (ConvBnRelu, IMAGE, ["conv2d"]),
    "conv": (conv(3, 7, (3, 2), bias=False), IMAGE, ["conv2d"]),
    "conv_bn": (lambda: nn.Sequential(*list(ConvBnRelu().children())[:2]), IMAGE, ["conv2d"]),
    "depthwise": (conv(8, 8, 3, padding=1, groups=8), WIDE, ["conv2d"]),
    "grouped_dilated": (conv(8, 6, 3, padding=2, dilation=2, groups=2), WIDE, ["conv2d"]),
    "same": (conv(8, 4, (4, 3), padding="same"), WIDE, ["conv2d"]),
    "valid": (conv(8, 4, 3, padding="valid"), WIDE, ["conv2d"]),
    "pad_symmetric": (
        lambda: nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 5, 3, padding=(0, 1))),
        *(IMAGE, ["conv2d"]),
    ),
    "pad_asymmetric": (
        lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(3, 5, 3, stride=2)),
        *(IMAGE, ["conv2d"]),
    ),
    "pad_same": (
        lambda: nn.Sequential(nn.ZeroPad2d((1, 0, 0, 0)), nn.Conv2d(8, 5, 4, padding="same")),
        *(WIDE, ["conv2d"]),
    ),
    "conv_relu6": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6()), IMAGE, ["conv2d"]),
    "conv_hardtanh": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Hardtanh(-0.5, 0.25)),
        *(IMAGE, ["conv2d"]),
    ),
    "residual": (Residual, IMAGE, ["conv2d", "conv2d", "add"]),
    "product": (Product, IMAGE, ["conv2d", "conv2d", "mul"]),
    "cat_shared": (Same, IMAGE, ["conv2d", "conv2d", "cat", "max_pool2d"]),
    "cat_fixed": (Branches, IMAGE, ["conv2d", "conv2d", "lookup", "cat", "max_pool2d"]),
    "max_pool": (lambda: Head(nn.MaxPool2d(12, padding=0)), (4, 3, 14, 14), None),
    "avg_pool": (lambda: Head(nn.AvgPool2d(12)), (4, 3, 14, 14), None),
    "adaptive_avg_pool": (lambda: Head(nn.AdaptiveAvgPool2d(1)), IMAGE, None),
    "linear": (lambda: nn.Linear(12, 7), ROWS, ["linear"]),
    "linear_relu_linear": (
        lambda: nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4, bias=False)),
        *(ROWS, ["linear", "linear"]),
    ),
    "linear_3d": (
        lambda: nn.Sequential(nn.Linear(12, 9), nn.Hardswish(), nn.Linear(9, 4)),
        *((3, 5, 12), ["linear", "lookup", "linear"]),
    ),
    "linear_bn": (lambda: nn.Sequential(nn.Linear(12, 9), nn.BatchNorm1d(9)), ROWS, ["linear"]),
    "functional": (
        Functional,
        IMAGE,
        ["conv2d", "max_pool2d", "mean", "linear", "lookup", "lookup", "lookup"],
    ),
}
for _module in (
    *(nn.Hardswish(), nn.Sigmoid(), nn.Tanh(), nn.ELU(0.7), nn.LeakyReLU(0.2), nn.Hardsigmoid()),
    *(nn.ReLU(), nn.ReLU6(), nn.Hardtanh()),
):
    NETS[f"only_{type(_module).__name__}"] = (lambda m=_module: m, ROWS, ["lookup"])


def build(name):
    """The network ``name`` with seeded weights, and a function that makes its inputs."""
    torch.manual_seed(0)
    make, shape, _ = NETS[name]
    model = make().eval()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias)
    return model, lambda batch=shape[0]: torch.randn(batch, *shape[1:])


def convert(model, inputs, quantizer=None, batches=4):
    """The PT2E flow by hand; inputs: a function that makes one batch."""
    shapes = ({0: torch.export.Dim.AUTO},)
    exported = torch.export.export(model, (inputs(),), dynamic_shapes=shapes).module()
    prepared = prepare_pt2e(exported, quantizer or qnative.Quantizer())
    with torch.no_grad():
        for _ in range(batches):
            prepared(inputs())
        return convert_pt2e(prepared)


def ops_of(module):
    """Names of the operators that a graph calls: "qnative.conv2d", "aten.gelu"."""
    return [
        str(node.target).rsplit(".", 1)[0]
        for node in module.graph.nodes
        if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
    ]


def kernels_of(module):
    """Names of its qnative ops without (de)quantize: ["conv2d", "linear"]."""
    names = [name.removeprefix("qnative.") for name in ops_of(module) if "qnative." in name]
    return [name for name in names if "quantize_per" not in name]
