"""Speech and sound: networks of transformers, and small classics of torch's layers."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.architectures import SpeechLstm
from zoo.entry import Entry, Input

_SIZES = {
    "hidden_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
}
_WAVE = Input((16000,), "audio", (20000,))


def _hf(
    name: str, config: str, model: str, inputs: tuple[Input, ...], keywords: tuple[str, ...],
    **options: Any,
) -> Entry:  # fmt: skip
    def make():
        import transformers

        return getattr(transformers, model)(getattr(transformers, config)(**options))

    return Entry(name, "audio", "transformers", make, inputs, keywords)


def _wave(name: str, config: str, model: str, **options: Any) -> Entry:
    return _hf(name, config, model, (_WAVE,), ("input_values",), **options)


def _torch(name: str, make: Any, *inputs: Input) -> Entry:
    return Entry(name, "audio", "torch", make, inputs)


class WaveNet(nn.Module):
    """Gated dilated convolutions with skip connections, van den Oord et al. 2016."""

    def __init__(self, channels: int = 64, layers: int = 10):
        super().__init__()
        self.front = nn.Conv1d(1, channels, 1)
        self.gates = nn.ModuleList(
            nn.Conv1d(channels, 2 * channels, 3, padding=2**i, dilation=2**i) for i in range(layers)
        )
        self.skips = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in range(layers))
        self.scores = nn.Sequential(
            nn.ReLU(), nn.Conv1d(channels, channels, 1), nn.ReLU(), nn.Conv1d(channels, 256, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x, total = self.front(x), 0
        for gate, skip in zip(self.gates, self.skips, strict=True):
            a, b = gate(x).chunk(2, 1)
            y = skip(torch.tanh(a) * torch.sigmoid(b))
            x, total = x + y, total + y
        return self.scores(total)


class ConvTasNet(nn.Module):
    """Separates two speakers by masks over a learned filter bank, Luo and Mesgarani 2018."""

    def __init__(self, filters: int = 128, hidden: int = 256, layers: int = 8):
        super().__init__()
        self.encode = nn.Conv1d(1, filters, 16, stride=8, bias=False)
        self.norm = nn.GroupNorm(1, filters)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(filters, hidden, 1), nn.PReLU(), nn.GroupNorm(1, hidden),
                nn.Conv1d(hidden, hidden, 3, padding=2**i, dilation=2**i, groups=hidden),
                nn.PReLU(), nn.GroupNorm(1, hidden), nn.Conv1d(hidden, filters, 1),
            )
            for i in range(layers)
        )  # fmt: skip
        self.masks = nn.Conv1d(filters, 2 * filters, 1)
        self.decode = nn.ConvTranspose1d(filters, 1, 16, stride=8, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        code = self.encode(x)
        y = self.norm(code)
        for block in self.blocks:
            y = y + block(y)
        masks = torch.sigmoid(self.masks(y)).chunk(2, 1)
        return tuple(self.decode(code * mask) for mask in masks)


class Crnn(nn.Module):
    """Convolutions over a spectrogram and a GRU over time, as in sound event detection."""

    def __init__(self):
        super().__init__()
        widths = (1, 32, 64, 128)
        self.front = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, padding=1),
                    nn.BatchNorm2d(b),
                    nn.ReLU(),
                    nn.MaxPool2d((1, 4)),
                )
                for a, b in pairwise(widths)
            )
        )
        self.gru = nn.GRU(128, 128, 2, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.front(x).squeeze(-1)
        return torch.sigmoid(self.scores(self.gru(y.transpose(1, 2))[0]))


class BatchFirst(nn.Module):
    """[batch, frames, features] for a module that takes [frames, batch, features]."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.transpose(0, 1)).transpose(0, 1)


class SpeakerLstm(nn.Module):
    """Power mels to a unit vector for each speaker (GE2E, Wan et al. 2018)."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, x: Tensor) -> Tensor:
        # Powers of sounds span many decades.
        hidden = self.lstm(x**6)[1][0][-1]
        return nn.functional.normalize(torch.relu(self.linear(hidden)), dim=1)


class SpectralDenoiser(nn.Module):
    """A mask over the short-time spectrum by a GRU."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(257, 256, 2, batch_first=True)
        self.mask = nn.Linear(256, 257)
        self.register_buffer("window", torch.hann_window(512))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(x, 512, 128, window=self.window, return_complex=True)
        features = torch.log1p(spectrum.abs()).transpose(1, 2)
        mask = torch.sigmoid(self.mask(self.gru(features)[0])).transpose(1, 2)
        return spectrum.abs() * mask


class Conformer(nn.Module):
    """Feed-forward, attention and convolution in turn, Gulati et al. 2020."""

    def __init__(self, size: int = 144, layers: int = 4):
        super().__init__()
        self.front = nn.Linear(80, size)
        self.layers = nn.ModuleList(self._layer(size) for _ in range(layers))
        self.scores = nn.Linear(size, 128)

    @staticmethod
    def _layer(size: int) -> nn.ModuleDict:
        def feed() -> nn.Module:
            up, down = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)
            return nn.Sequential(nn.LayerNorm(size), up, nn.SiLU(), down)

        conv = nn.Sequential(
            nn.Conv1d(size, 2 * size, 1), nn.GLU(1),
            nn.Conv1d(size, size, 31, padding=15, groups=size), nn.BatchNorm1d(size), nn.SiLU(),
            nn.Conv1d(size, size, 1),
        )  # fmt: skip
        return nn.ModuleDict(
            {
                "first": feed(),
                "norm": nn.LayerNorm(size),
                "attention": nn.MultiheadAttention(size, 4, batch_first=True),
                "conv": conv,
                "last": feed(),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.front(x)
        for layer in self.layers:
            x = x + 0.5 * layer["first"](x)
            y = layer["norm"](x)
            x = x + layer["attention"](y, y, y, need_weights=False)[0]
            x = x + layer["conv"](x.transpose(1, 2)).transpose(1, 2)
            x = x + 0.5 * layer["last"](x)
        return self.scores(x).log_softmax(-1)


AUDIO = [
    _wave("wav2vec2", "Wav2Vec2Config", "Wav2Vec2Model", **_SIZES),
    _wave("hubert", "HubertConfig", "HubertModel", **_SIZES),
    _wave("wavlm", "WavLMConfig", "WavLMModel", **_SIZES),
    _wave("data2vec_audio", "Data2VecAudioConfig", "Data2VecAudioModel", **_SIZES),
    _wave("sew", "SEWConfig", "SEWModel", **_SIZES),
    _hf("ast", "ASTConfig", "ASTForAudioClassification", (Input((256, 128)),), ("input_values",),
        max_length=256, **_SIZES),
    _hf("whisper", "WhisperConfig", "WhisperModel",
        (Input((80, 400)), Input((32,), "ids", count=1000)),
        ("input_features", "decoder_input_ids"),
        vocab_size=1000, d_model=256, encoder_layers=3, decoder_layers=3, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=1024, decoder_ffn_dim=1024,
        max_source_positions=200, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1),
    _hf("hifigan", "SpeechT5HifiGanConfig", "SpeechT5HifiGan", (Input((40, 80)),),
        ("spectrogram",), upsample_initial_channel=128),
    _hf("encodec", "EncodecConfig", "EncodecModel", (Input((1, 8000), "audio"),),
        ("input_values",)),
    _torch("wavenet", WaveNet, Input((1, 4000), "audio", (1, 5000))),
    _torch("conv_tasnet", ConvTasNet, Input((1, 8000), "audio", (1, 9600))),
    _torch("crnn", Crnn, Input((1, 100, 64), "noise", (1, 80, 64))),
    _torch("speech_lstm", lambda: BatchFirst(SpeechLstm()), Input((50, 40), "noise", (30, 40))),
    _torch("speaker_lstm", SpeakerLstm, Input((160, 40), "positive", (120, 40))),
    _torch("denoiser_gru", SpectralDenoiser, Input((8000,), "audio", (9600,))),
    _torch("conformer", Conformer, Input((200, 80), "noise", (160, 80))),
]  # fmt: skip
