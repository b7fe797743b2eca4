"""Kinds of aten ops that more than one room speaks of. A kind is what ``nodes.kind`` gives."""

# With the number of their dimensions.
CONVS = {f"conv{d}d": d for d in (1, 2, 3)}
TRANSPOSED = {f"conv_transpose{d}d": d for d in (1, 2, 3)}
# They multiply with a weight of their own.
LAYERS = frozenset(("linear", *CONVS, *TRANSPOSED))
RECURRENT = ("lstm", "gru", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")

# Activations that are bounds of values; they can become part of the op before them.
BOUNDED = ("relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max")
# With a number they are functions of each value by itself.
WITH_NUMBER = ("add", "mul", "sub", "rsub", "div")
# Functions of each value by itself that the native config has no rows for.
ELEMENTWISE = frozenset(
    (
        *("celu", "exp", "gelu", "log_sigmoid", "mish", "selu", "silu", "softplus", "softsign"),
        *("sqrt", "square"),
    )
)

# Ops that return lists.
LISTS = frozenset(("chunk", "split", "split_with_sizes", "tensor_split", "unbind"))
PADS = frozenset(("pad", "constant_pad_nd"))
# They do nothing outside of training.
DROPOUTS = frozenset(("alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout"))
# They move values without arithmetic, and no config has rows for them: they are quantized as their
# input is.
MOVES = (LISTS | DROPOUTS - {"dropout"} | PADS) | {
    *("alias", "channel_shuffle", "clone", "expand", "flip", "index_select", "gather", "mT"),
    *("movedim", "numpy_T", "roll", "select", "slice", "swapaxes", "t", "tile", "unflatten"),
    "unfold",
}

# aten's names of what torch.nn.functional.interpolate calls a mode.
INTERPOLATIONS = {
    **{f"upsample_nearest{d}d": "nearest" for d in (1, 2, 3)},
    **{f"_upsample_nearest_exact{d}d": "nearest-exact" for d in (1, 2, 3)},
    "upsample_linear1d": "linear",
    "upsample_bilinear2d": "bilinear",
    "upsample_bicubic2d": "bicubic",
    "upsample_trilinear3d": "trilinear",
}
