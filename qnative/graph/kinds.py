"""Sets of aten ops by kind (see ``nodes.kind``)."""

# Kind -> number of spatial dimensions.
CONVS = {f"conv{d}d": d for d in (1, 2, 3)}
TRANSPOSED = {f"conv_transpose{d}d": d for d in (1, 2, 3)}
# Layers with a weight of their own.
LAYERS = frozenset(("linear", *CONVS, *TRANSPOSED))
RECURRENT = ("lstm", "gru", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")

ATTENTION = "scaled_dot_product_attention"

# Activations that clamp. They can be fused into the op before them.
BOUNDED = ("relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max")
# Elementwise functions of one tensor if the other operand is a number.
WITH_NUMBER = ("add", "mul", "sub", "rsub", "div")
# Elementwise functions that no config has rows for, because 8 bits seldom hold the digits that they
# depend on. They run in 8 bits if another quantizer says so.
ELEMENTWISE = frozenset(
    (
        *("acosh", "atanh", "ceil", "digamma", "erfinv", "floor", "frac", "lgamma", "log", "log10"),
        *("log2", "logit", "reciprocal", "round", "rsqrt", "sign", "sinc", "tan", "trunc"),
    )
)
# Functions of angles: an angle of many turns has no use in 8 bits.
PERIODIC = ("sin", "cos")

# Ops that return lists.
LISTS = frozenset(("chunk", "split", "split_with_sizes", "tensor_split", "unbind"))
# Ops that join tensors.
JOINS = frozenset(("cat", "concat", "concatenate", "hstack", "stack", "vstack"))
PADS = frozenset(("pad", "constant_pad_nd"))
# No-ops outside of training.
DROPOUTS = frozenset(("alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout"))
# They move values without arithmetic, or choose some of them. No row of a config is needed: they
# take the quantization of their input.
MOVES = (LISTS | DROPOUTS - {"dropout"} | PADS) | {
    *("alias", "amax", "amin", "broadcast_to", "channel_shuffle", "clone", "diagonal", "expand"),
    *("expand_as", "flip", "gather", "index", "index_select", "mH", "mT", "moveaxis", "movedim"),
    *("narrow", "numpy_T", "ravel", "reshape_as", "roll", "rot90", "select", "slice", "swapaxes"),
    *("swapdims", "t", "take_along_dim", "tile", "unflatten", "unfold", "view_as"),
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
