"""Sets of aten ops by kind (see ``nodes.kind``)."""

# Kind -> number of spatial dimensions.
CONVS = {f"conv{d}d": d for d in (1, 2, 3)}
TRANSPOSED = {f"conv_transpose{d}d": d for d in (1, 2, 3)}
# Layers with a weight of their own.
LAYERS = frozenset(("linear", *CONVS, *TRANSPOSED))
RECURRENT = ("lstm", "gru", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")

# Activations that clamp. They can be fused into the op before them.
BOUNDED = ("relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max")
# Elementwise functions of one tensor if the other operand is a number.
WITH_NUMBER = ("add", "mul", "sub", "rsub", "div")
# Elementwise functions that the native config has no rows for.
ELEMENTWISE = frozenset(
    (
        *("celu", "exp", "gelu", "log_sigmoid", "mish", "selu", "silu", "softplus", "softsign"),
        *("sqrt", "square"),
    )
)

# Ops that return lists.
LISTS = frozenset(("chunk", "split", "split_with_sizes", "tensor_split", "unbind"))
# Ops that join tensors.
JOINS = frozenset(("cat", "concat", "concatenate", "hstack", "stack", "vstack"))
PADS = frozenset(("pad", "constant_pad_nd"))
# No-ops outside of training.
DROPOUTS = frozenset(("alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout"))
# They move values without arithmetic. The native config has no rows for them: they take the
# quantization of their input.
MOVES = (LISTS | DROPOUTS - {"dropout"} | PADS) | {
    *("alias", "channel_shuffle", "clone", "expand", "flip", "index_select", "gather", "mT"),
    *("movedim", "numpy_T", "roll", "select", "slice", "swapaxes", "t", "tile", "unflatten"),
    "unfold",
}

# aten kind -> mode of torch.nn.functional.interpolate.
INTERPOLATIONS = {
    **{f"upsample_nearest{d}d": "nearest" for d in (1, 2, 3)},
    **{f"_upsample_nearest_exact{d}d": "nearest-exact" for d in (1, 2, 3)},
    "upsample_linear1d": "linear",
    "upsample_bilinear2d": "bilinear",
    "upsample_bicubic2d": "bicubic",
    "upsample_trilinear3d": "trilinear",
}
