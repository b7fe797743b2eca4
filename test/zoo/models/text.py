"""Language models of transformers, a few layers of usual widths."""

from typing import Any

from zoo.entry import Entry, Input

_VOCABULARY = 8000
_SIZES = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
}


def _make(config: str, model: str, options: dict[str, Any]) -> Any:
    def make():
        import transformers

        return getattr(transformers, model)(getattr(transformers, config)(**options))

    return make


def _encoder(name: str, config: str, model: str, **options: Any) -> Entry:
    """Token ids and a mask of padding."""
    options = {"vocab_size": _VOCABULARY} | options
    ids = Input((128,), "ids", (96,), _VOCABULARY)
    mask = Input((128,), "mask", (96,))
    make = _make(config, model, options)
    keywords = ("input_ids", "attention_mask")
    return Entry(name, "text", "transformers", make, (ids, mask), keywords)


def _decoder(name: str, config: str, model: str, length: int = 128, **options: Any) -> Entry:
    """Token ids; the next token's scores, without a cache."""
    options = {"vocab_size": _VOCABULARY} | options
    ids = Input((length,), "ids", (length // 2,), _VOCABULARY)
    make = _make(config, model, options)
    return Entry(
        name, "text", "transformers", make, (ids,), ("input_ids",), (("use_cache", False),)
    )


_LLAMA = _SIZES | {"num_key_value_heads": 2}
_GPT2 = {"n_embd": 384, "n_layer": 6, "n_head": 6}

TEXT = [
    _encoder("bert", "BertConfig", "BertModel", **_SIZES),
    _encoder("distilbert", "DistilBertConfig", "DistilBertModel", dim=384, n_layers=6, n_heads=6,
             hidden_dim=1536),
    _encoder("roberta", "RobertaConfig", "RobertaModel", **_SIZES),
    _encoder("albert", "AlbertConfig", "AlbertModel", embedding_size=128, **_SIZES),
    _encoder("mobilebert", "MobileBertConfig", "MobileBertModel", num_hidden_layers=4),
    _encoder("electra", "ElectraConfig", "ElectraModel", **_SIZES),
    _encoder("deberta_v2", "DebertaV2Config", "DebertaV2Model", relative_attention=True,
             pos_att_type=["p2c", "c2p"], position_buckets=64, **_SIZES),
    _encoder("mpnet", "MPNetConfig", "MPNetModel", **_SIZES),
    _encoder("modernbert", "ModernBertConfig", "ModernBertModel", pad_token_id=0, bos_token_id=1,
             eos_token_id=2, cls_token_id=1, sep_token_id=2, **_SIZES),
    _encoder("squeezebert", "SqueezeBertConfig", "SqueezeBertModel", embedding_size=384, **_SIZES),
    _encoder("convbert", "ConvBertConfig", "ConvBertModel", **_SIZES),
    _encoder("t5_encoder", "T5Config", "T5EncoderModel", d_model=384, d_ff=1536, num_layers=6,
             num_heads=6),
    _decoder("gpt2", "GPT2Config", "GPT2LMHeadModel", **_GPT2),
    _decoder("gpt_neox", "GPTNeoXConfig", "GPTNeoXForCausalLM", **_SIZES),
    _decoder("opt", "OPTConfig", "OPTForCausalLM", hidden_size=384, num_hidden_layers=6,
             ffn_dim=1536, num_attention_heads=6, word_embed_proj_dim=384),
    _decoder("bloom", "BloomConfig", "BloomForCausalLM", hidden_size=384, n_layer=6, n_head=6),
    _decoder("llama", "LlamaConfig", "LlamaForCausalLM", 256, **_LLAMA),
    _decoder("mistral", "MistralConfig", "MistralForCausalLM", **_LLAMA),
    _decoder("qwen2", "Qwen2Config", "Qwen2ForCausalLM", **_LLAMA),
    _decoder("qwen3", "Qwen3Config", "Qwen3ForCausalLM", head_dim=64, **_LLAMA),
    _decoder("gemma", "GemmaConfig", "GemmaForCausalLM", head_dim=64, **_LLAMA),
    _decoder("phi", "PhiConfig", "PhiForCausalLM", **_SIZES),
    _decoder("mamba", "MambaConfig", "MambaForCausalLM", 64, hidden_size=256, num_hidden_layers=2),
]  # fmt: skip
