"""Networks whose packages do not install beside the CPU build of torch. Weights are random."""

import torch
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list:
    """Convolution that keeps the size of the image, and its BatchNorm."""
    layer = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return [layer, nn.BatchNorm2d(outputs)]


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            *conv(inputs, outputs, 3, stride), nn.ReLU(), *conv(outputs, outputs, 3)
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18(classes: int = 1000) -> nn.Module:
    """Deep Residual Learning for Image Recognition, table 1."""
    layers = [*conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [BasicBlock(width, outputs, stride), BasicBlock(outputs, outputs, 1)]
        width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        hidden = max(8, (channels // 4 + 4) // 8 * 8)
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x)


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, row: tuple):
        super().__init__()
        kernel, hidden, outputs, excites, activation, stride = row
        layers = [*conv(inputs, hidden, 1), activation()] if hidden != inputs else []
        layers += [*conv(hidden, hidden, kernel, stride, hidden), activation()]
        layers += [SqueezeExcitation(hidden)] if excites else []
        self.body = nn.Sequential(*layers, *conv(hidden, outputs, 1))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


# Searching for MobileNetV3, table 1: kernel, expansion, outputs, squeeze and excite, activation,
# stride.
_LARGE = [
    (3, 16, 16, False, nn.ReLU, 1),
    (3, 64, 24, False, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 1),
    (5, 72, 40, True, nn.ReLU, 2),
    (5, 120, 40, True, nn.ReLU, 1),
    (5, 120, 40, True, nn.ReLU, 1),
    (3, 240, 80, False, nn.Hardswish, 2),
    (3, 200, 80, False, nn.Hardswish, 1),
    (3, 184, 80, False, nn.Hardswish, 1),
    (3, 184, 80, False, nn.Hardswish, 1),
    (3, 480, 112, True, nn.Hardswish, 1),
    (3, 672, 112, True, nn.Hardswish, 1),
    (5, 672, 160, True, nn.Hardswish, 2),
    (5, 960, 160, True, nn.Hardswish, 1),
    (5, 960, 160, True, nn.Hardswish, 1),
]


# Table 2.
_SMALL = [
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.Hardswish, 2),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 120, 48, True, nn.Hardswish, 1),
    (5, 144, 48, True, nn.Hardswish, 1),
    (5, 288, 96, True, nn.Hardswish, 2),
    (5, 576, 96, True, nn.Hardswish, 1),
    (5, 576, 96, True, nn.Hardswish, 1),
]


def mobilenet_v3(rows: list[tuple], width: int, hidden: int, classes: int) -> nn.Module:
    """width: channels of the last convolution."""
    layers, channels = [*conv(3, 16, 3, 2), nn.Hardswish()], 16
    for row in rows:
        layers.append(InvertedResidual(channels, row))
        channels = row[2]
    layers += [*conv(channels, width, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(
        *layers,
        nn.Linear(width, hidden),
        nn.Hardswish(),
        nn.Dropout(0.2),
        nn.Linear(hidden, classes),
    )


def mobilenet_v3_large(classes: int = 1000) -> nn.Module:
    return mobilenet_v3(_LARGE, 960, 1280, classes)


def mobilenet_v3_small(classes: int = 1000) -> nn.Module:
    return mobilenet_v3(_SMALL, 576, 1024, classes)


def mlp() -> nn.Module:
    """64 numbers -> 10."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def ds_cnn(classes: int = 12) -> nn.Module:
    """Keyword spotting of MLPerf Tiny: [batch, 1, 49, 10] features of one second."""
    layers = [nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    for _ in range(4):
        layers += [*conv(64, 64, 3, groups=64), nn.ReLU(), *conv(64, 64, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


class SpeechLstm(nn.Module):
    """[frames, batch, 40] features -> [frames, batch, 1000] scores."""

    def __init__(self, size: int = 512):
        super().__init__()
        self.front = nn.Linear(40, size)
        self.lstm = nn.LSTM(size, size, 2)
        self.scores = nn.Linear(size, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.lstm(torch.relu(self.front(x)))[0])


def settle(model: nn.Module, *example: Tensor) -> nn.Module:
    """Sets BatchNorm statistics as training would, so that activations keep their scale."""
    model.train()
    with torch.no_grad():
        for _ in range(10):
            model(*example)
    return model.eval()
