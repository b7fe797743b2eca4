"""examples/sentence: the vectors of a real sentence encoder in int8, for any batch and length."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import qnative
from examples.sentence import data, demo, model
from qnative.report import FLOAT


@pytest.fixture(scope="module")
def encoder():
    return model.load(data.model_folder())


@pytest.fixture(scope="module")
def inputs():
    return data.encode(data.load_tokenizer(), data.load_sentences()[:3])


@pytest.fixture(scope="module")
def quantized(encoder, inputs):
    return demo.quantize(encoder, *inputs)


@pytest.fixture(scope="module")
def script(quantized, inputs, tmp_path_factory):
    return demo.save(quantized, inputs, tmp_path_factory.mktemp("sentence") / "qnative.pt")


def test_similar_sentences_have_similar_vectors(encoder):
    sentences = ["A man is eating food.", "A man eats bread.", "The girl carries a baby."]
    with torch.inference_mode():
        v = encoder(*data.encode(data.load_tokenizer(), sentences))
    assert v[0] @ v[1] > 0.6 and abs(v[0] @ v[2]) < 0.3


def test_every_linear_layer_and_table_is_quantized(quantized):
    rows = [r for r in quantized.report.rows if r.op in ("aten.linear", "aten.embedding")]
    assert len(rows) == 6 * 6 + 3
    assert not [row for row in rows if row.verdict == FLOAT]


def test_vectors_are_near_those_of_fp32(encoder, quantized):
    near = demo.cosines(quantized, encoder)
    assert len(near) == 2 * 64
    assert near.mean() >= 0.998
    assert near.min() >= 0.996


def test_vectors_of_the_shortest_sentences_are_near(encoder, quantized):
    """The first token of each is an outlier; a mean over few tokens does not hide it."""
    sentences = ["Sorry.", "No!", "Why not?", "Well done!", "So what?", "You're welcome.", "Bye."]
    tokenizer = data.load_tokenizer()
    with torch.inference_mode():
        want = encoder(*data.encode(tokenizer, sentences))
        near = F.cosine_similarity(demo.encode_each(quantized, tokenizer, sentences), want)
    assert near.min() >= 0.996


def test_torchscript_gives_the_same_bits_for_any_batch_and_length(quantized, script):
    tokenizer, sentences = data.load_tokenizer(), data.load_sentences()
    for batch in (sentences[:1], sentences[5:7], sentences[40:], sentences[-1:]):
        ids, mask = data.encode(tokenizer, batch)
        with torch.inference_mode():
            assert torch.equal(script(ids, mask), quantized(ids, mask))


def test_the_file_is_a_quarter_of_fp32(encoder, quantized, inputs, script, tmp_path):
    demo.save(encoder, inputs, tmp_path / "fp32.pt")
    demo.save(quantized, inputs, tmp_path / "qnative.pt")
    sizes = [(tmp_path / name).stat().st_size for name in ("fp32.pt", "qnative.pt")]
    assert sizes[1] < 0.27 * sizes[0]


@pytest.fixture(scope="module")
def eager(encoder):
    """The encoder quantized with one call of quantize_dynamic, without a graph."""
    return qnative.quantize_dynamic(encoder, {nn.Linear: torch.qint8, nn.Embedding: torch.quint8})


def test_eager_vectors_are_as_near(encoder, eager):
    assert any(name.endswith(".repeated") for name, _ in eager.named_buffers())
    near = demo.cosines(eager, encoder)
    assert near.mean() >= 0.998
    assert near.min() >= 0.996


@torch.inference_mode()
def test_cpp_program_gives_the_bits_of_eager_mode(eager, inputs, run_in_cpp, tmp_path):
    demo.save(eager, inputs, tmp_path / "model.pt")
    tokenizer, sentences = data.load_tokenizer(), data.load_sentences()
    for batch in (sentences[5:6], sentences[40:]):
        arguments = data.encode(tokenizer, batch)
        (vectors,) = run_in_cpp(tmp_path / "model.pt", *arguments)
        assert torch.equal(vectors, eager(*arguments))
