"""Linear layers with 4-bit weights, beside linear_dynamic, torch's float and the int4 products of
ATen (torchao's Int4WeightOnlyConfig) and onnxruntime.

    python -m benchmark.four_bit --output build/bench/four_bit.json

One pinned thread, interleaved rounds. Prints, for each layer, number of rows and group size, how
many times as fast linear_4bit is. torchao's wheel has no CPU kernel for 8-bit rows
(da8w4_linear_cpu), and llama-cpp-python no wheel.
"""

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import qnative  # noqa: F401
from benchmark.timing import interleaved, summary, threads

OPS = torch.ops.qnative
# Columns and inputs: a square layer of a Llama 7B, its gate, its down projection, GPT-2 small.
LAYERS = [(4096, 4096), (11008, 4096), (4096, 11008), (2304, 768), (3072, 768), (768, 3072)]
ROWS = (1, 16, 128)
GROUPS = (32, 128)

Call = Callable[[], object]


def aten_int4(x: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor, size: int) -> Call:
    """What torchao's Int4WeightOnlyConfig runs on CPUs, in bfloat16."""
    aten = torch.ops.aten
    weight = aten._convert_weight_to_int4pack_for_cpu((codes + 8).int(), 1)
    parameters = torch.stack([scale.t(), torch.zeros_like(scale.t())], 2).contiguous().bfloat16()
    half = x.bfloat16()
    return lambda: aten._weight_int4pack_mm_for_cpu(half, weight, size, parameters)


def onnxruntime_int4(
    x: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor, size: int, level: int
) -> Call:
    """onnxruntime's MatMulNBits; level 4 quantizes x to int8 at run time, 1 computes in float32."""
    import onnx
    import onnxruntime as ort

    n, k = codes.shape
    nibbles = (codes + 8).to(torch.uint8).numpy().reshape(n, k // size, size)
    packed = nibbles[:, :, ::2] | nibbles[:, :, 1::2] << 4
    tensors = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(packed), "w"),
        onnx.numpy_helper.from_array(scale.numpy().reshape(-1), "s"),
    ]
    attributes = {"K": k, "N": n, "bits": 4, "block_size": size, "accuracy_level": level}
    node = onnx.helper.make_node(
        "MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", **attributes
    )
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "four_bit",
        [value("x", onnx.TensorProto.FLOAT, list(x.shape))],
        [value("y", onnx.TensorProto.FLOAT, [len(x), n])],
        tensors,
    )
    imports = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    feed = {"x": x.numpy()}
    return lambda: session.run(None, feed)


def competitors(n: int, k: int, m: int, size: int) -> dict[str, Call]:
    g = torch.Generator().manual_seed(0)
    weight, x = torch.randn(n, k, generator=g) / 50, torch.randn(m, k, generator=g)
    packed = OPS.linear_4bit_pack(weight, size)
    codes, scale = OPS.linear_4bit_unpack(packed, [n, k], size)
    int8, int8_scale, repeated = OPS.linear_dynamic_pack(weight)
    shape = [n, k + len(repeated)]
    calls: dict[str, Call] = {
        "qnative": lambda: OPS.linear_4bit(x, packed, None, [n, k], size),
        "linear_dynamic": lambda: OPS.linear_dynamic(
            x, int8, int8_scale, None, shape, repeated=repeated or None
        ),
        "float": lambda: torch.nn.functional.linear(x, weight),
    }
    peers = {
        "aten": aten_int4,
        "onnxruntime": lambda *args: onnxruntime_int4(*args, level=4),
    }
    want = torch.nn.functional.linear(x, weight)
    for name, make in peers.items():
        try:
            call = make(x, codes, scale.float(), size)
            got = torch.as_tensor(np.asarray(call()[0]) if name == "onnxruntime" else call())
        except Exception as error:
            warnings.warn(f"{name}: {error}", stacklevel=2)
            continue
        error = (got.float() - want).norm() / want.norm()
        if error > 0.2:
            warnings.warn(f"{name} is wrong: its relative error is {error:.2f}", stacklevel=2)
            continue
        calls[name] = call
    return calls


def measure(rounds: int) -> list[dict]:
    found = []
    for n, k in tqdm(LAYERS, disable=None):
        for m in ROWS:
            for size in GROUPS:
                times = interleaved(competitors(n, k, m, size), rounds)
                low = {name: summary(each)["low_decile_ms"] for name, each in times.items()}
                ratios = {name: ms / low["qnative"] for name, ms in low.items()}
                found.append({"n": n, "k": k, "m": m, "group_size": size, **ratios})
                print(*(f"{v:.2f}" if isinstance(v, float) else v for v in found[-1].values()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with threads(1):
        found = measure(options.rounds)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
