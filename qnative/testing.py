"""Tests of a custom backend: each kernel of another library against its reference function."""

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from ._text import text_table
from .backend_config import BackendConfig, DTypeConfig, resolve
from .backend_config.kinds import kinds_of, text_of
from .graph.kinds import CONVS, TRANSPOSED
from .graph.nodes import Unsupported, aten_default
from .graph.qdq import STORAGE_DTYPES
from .plan.constraints import NONE, Constraints, Limits
from .plan.decision import is_foreign
from .plan.foreign import Kernel, kernel_of
from .plan.modes import Dtypes

__all__ = ["Case", "Conformance", "ConformanceError", "conformance", "conformance_cases"]

# Sizes of inputs without a weight; of rows of matrices; (batch, channels in, out, groups, size,
# kernel, stride, padding) of images.
_SHAPES = ((1,), (7,), (2, 3, 5), (4, 33), (0, 4))
_ROWS = ((1, 1, 1), (3, 7, 5), (2, 64, 33), (0, 4, 4))
_IMAGES = ((1, 1, 1, 1, 5, 1, 1, 0), (2, 3, 8, 1, 9, 3, 2, 1), (1, 8, 8, 4, 6, 2, 1, 0))
# Position of the zero point in the input's range, and the share of the range of the reference's
# output that the output can hold: less than 1 saturates.
_RANGES = ((0.0, 1.0), (0.5, 0.5), (1.0, 2.0))


class ConformanceError(AssertionError):
    """Kernels that do not compute what their reference functions do; the message is a table."""


@dataclass(frozen=True, eq=False)
class Case:
    """One call of the kernel of a row; ``str`` names it, ``check`` runs it."""

    row: int
    pattern: str
    kernel: Kernel
    dtypes: DTypeConfig = field(repr=False)
    reference: Callable[..., Any] = field(repr=False)
    shape: tuple[int, ...]
    zero_point: float
    part: float
    arguments: dict[str, Any] = field(repr=False, default_factory=dict)

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        numbers = f"{shape}-zero{self.zero_point:g}-part{self.part:g}"
        return f"{self.row}-{self.kernel.name}-{Dtypes.of(self.dtypes)}-{numbers}"

    def error(self) -> int:
        """The largest difference between kernel and reference, in steps of the output.

        ValueError for an argument of the kernel or of the reference that nothing gives a value, and
        for an output of another shape or dtype.
        """
        inputs, values = self._tensors()
        real = self._call_reference(inputs, values)
        y = self._output_parameters(real)
        got = self._call_kernel(inputs, values, y)
        wanted = torch.ops.qnative.quantize_per_tensor(real, *y)
        if (got.dtype, got.shape) != (wanted.dtype, wanted.shape):
            raise ValueError(
                f"{self}: the kernel gave {got.dtype} {tuple(got.shape)}, its reference "
                f"{wanted.dtype} {tuple(wanted.shape)}"
            )
        difference = (got.int() - wanted.int()).abs()
        return int(difference.max()) if difference.numel() else 0

    def check(self, tolerance: int = 1) -> None:
        """ConformanceError if the error is larger than ``tolerance``."""
        if (error := self.error()) > tolerance:
            raise ConformanceError(f"{self}: {error} steps from its reference, not {tolerance}")

    # ---- values --------------------------------------------------------------------------------

    def _limits(self, role: str) -> Constraints:
        return getattr(Limits.of(self.dtypes), role)

    def _dtype(self, role: str) -> tuple[torch.dtype, int, int]:
        """Storage dtype, smallest and largest value."""
        dtype = STORAGE_DTYPES[getattr(self.dtypes, f"{role}_dtype")]
        return dtype, *self._limits(role).quant_range(dtype)

    def _scale(self, role: str, scale: float) -> float:
        limits = self._limits(role)
        if limits.fixed:
            return limits.fixed[0]
        low, high = limits.scale_min_lower_bound, limits.scale_max_upper_bound
        scale = scale if low is None else max(scale, float(low))
        return scale if high is None else min(scale, float(high))

    def _tensors(self) -> tuple[dict[str, tuple[Any, ...]], dict[str, Any]]:
        """The inputs, each with scale and zero point, and all other values by name."""
        generator = torch.Generator().manual_seed(sum(self.shape) + self.row)
        shape, values = _shapes(self.kernel.kinds[0], self.shape)
        dtype, low, high = self._dtype("input")
        limits = self._limits("input")
        inputs: dict[str, tuple[Any, ...]] = {}
        for i, name in enumerate(self.kernel.inputs):
            data = torch.randint(low, high + 1, shape, dtype=dtype, generator=generator)
            zero = low + round(self.zero_point * (high - low))
            zero = limits.fixed[1] if limits.fixed else zero
            inputs[name] = data, self._scale("input", 0.02 * (i + 1)), zero
        if "weight" in values:
            values |= self._weights(values["weight"], generator)
        return inputs, values | self.arguments

    def _weights(
        self, form: tuple[tuple[int, ...], int, int], generator: torch.Generator
    ) -> dict[str, Any]:
        """form: the shape of the weight, its number of output channels and their dimension."""
        shape, channels, axis = form
        bias = torch.randn(channels, generator=generator)
        if not self.kernel.weighted:
            return {"weight": torch.randn(shape, generator=generator), "bias": bias}
        _, low, high = self._dtype("weight")
        weight = torch.randint(low, high + 1, shape, dtype=torch.int8, generator=generator)
        scale = torch.full((shape[axis],), self._scale("weight", 0.01))
        if self._limits("weight") == NONE:
            scale *= 1 + torch.rand(len(scale), generator=generator)
        real = weight.float() * scale.reshape([-1 if d == axis else 1 for d in range(len(shape))])
        scale = scale.repeat(channels // len(scale))
        return {"weight": weight, "weight_scale": scale, "bias": bias, "float_weight": real}

    def _call_reference(
        self, inputs: dict[str, tuple[Any, ...]], values: dict[str, Any]
    ) -> torch.Tensor:
        ops = torch.ops.qnative
        real = {name: ops.dequantize_per_tensor(*value) for name, value in inputs.items()}
        others = dict(values)
        if "float_weight" in others:
            others["weight"] = others.pop("float_weight")
        try:
            parameters = inspect.signature(self.reference).parameters.values()
        except ValueError:  # a function of torch that is written in C++
            return self.reference(*real.values())
        unnamed = list(real.values())
        given = {}
        for parameter in parameters:
            name = parameter.name
            if name in real or name in others:
                given[name] = real[name] if name in real else others[name]
                unnamed = [value for value in unnamed if value is not given[name]]
            elif name not in ("args", "kwargs") and parameter.default is parameter.empty:
                if not unnamed:
                    raise ValueError(
                        f"{self.pattern}: nothing gives the argument {name!r} of the reference "
                        f"function a value"
                    )
                given[name] = unnamed.pop(0)
        return self.reference(**given)

    def _output_parameters(self, real: torch.Tensor) -> tuple[float, int, torch.dtype]:
        dtype, low, high = self._dtype("output")
        limits = self._limits("output")
        if limits.fixed:
            return *limits.fixed, dtype
        least = min(float(real.min()), 0.0) if real.numel() else 0.0
        most = max(float(real.max()), 0.0) if real.numel() else 0.0
        scale = self._scale("output", self.part * max(most - least, 1e-3) / (high - low))
        return scale, min(max(round(low - least / scale), low), high), dtype

    def _call_kernel(
        self,
        inputs: dict[str, tuple[Any, ...]],
        values: dict[str, Any],
        y: tuple[float, int, torch.dtype],
    ) -> torch.Tensor:
        given = dict(zip(("y_scale", "y_zero_point", "y_dtype"), y, strict=True)) | values
        for name, (data, scale, zero_point) in inputs.items():
            given |= {name: data, f"{name}_scale": scale, f"{name}_zero_point": zero_point}
        arguments = {}
        for argument in self.kernel.op._schema.arguments:
            if argument.name in given:
                arguments[argument.name] = given[argument.name]
            elif not argument.has_default_value():
                found, value = aten_default(self.kernel.kinds, argument.name)
                if not found:
                    raise ValueError(
                        f"{self.pattern}: nothing gives the argument {argument.name!r} of "
                        f"{self.kernel.name} a value: pass it in arguments"
                    )
                arguments[argument.name] = value
        return self.kernel.op(**arguments)


@dataclass
class Conformance:
    """The cases that ran, with their errors; ``print`` shows the largest for each kernel."""

    errors: dict[Case, int]

    def __str__(self) -> str:
        worst: dict[tuple[str, ...], tuple[int, int]] = {}
        for case, error in self.errors.items():
            key = (str(case.row), case.pattern, case.kernel.name, str(Dtypes.of(case.dtypes)))
            count, largest = worst.get(key, (0, 0))
            worst[key] = count + 1, max(largest, error)
        rows = [(*key, *map(str, numbers)) for key, numbers in worst.items()]
        columns = ("row", "pattern", "kernel", "dtypes", "cases", "largest error")
        return "\n".join(text_table(columns, rows))


def conformance(
    config: BackendConfig | str, *, tolerance: int = 1, arguments: dict[str, Any] | None = None
) -> Conformance:
    """Runs every case of ``conformance_cases``. ConformanceError, with a line for each, if the
    error of some is larger than ``tolerance`` (in steps of the output)."""
    errors = {case: case.error() for case in conformance_cases(config, arguments=arguments)}
    failed = [f"{case}: {error} steps" for case, error in errors.items() if error > tolerance]
    if failed:
        lines = "\n".join(failed)
        raise ConformanceError(f"{len(failed)} of {len(errors)} cases fail:\n{lines}")
    return Conformance(errors)


def conformance_cases(
    config: BackendConfig | str, *, arguments: dict[str, Any] | None = None
) -> list[Case]:
    """A case for every row of ``config`` with a kernel of another library, over shapes, zero points
    and ranges of the output: for ``pytest.mark.parametrize(..., ids=str)``.

    config: a BackendConfig or the name of one. arguments: values for arguments of the kernels that
    neither the pattern nor its aten ops give, such as ``{"dim": 1}``.

    The reference is the row's (``set_reference``), by default the functions of torch that the
    pattern names. ValueError if there is no such row, no reference, or a kernel that is not
    registered.
    """
    cases = []
    for i, row in enumerate(resolve(config, "qnative.testing.conformance").configs):
        if not any(map(is_foreign, getattr(row, "ops", ()))):
            continue
        pattern = text_of(row.pattern)
        try:
            kernel, dtypes = kernel_of(row, kinds_of(row.pattern))
            kernel.op  # noqa: B018  (raises)
        except Unsupported as error:
            raise ValueError(f"row {i}, {pattern}: {error}") from None
        reference = row.reference or _functions(kernel.kinds, i, pattern)
        for shape, (zero_point, part) in itertools.product(_sizes(kernel.kinds[0]), _RANGES):
            common = (i, pattern, kernel, dtypes, reference)
            cases.append(Case(*common, shape, zero_point, part, arguments or {}))
    if not cases:
        raise ValueError("qnative.testing.conformance: no row has a kernel of another library")
    return cases


def _functions(kinds: tuple[str, ...], row: int, pattern: str) -> Callable[..., Any]:
    """The functions of torch of these kinds, one after the other."""
    found: list[Any] = [getattr(F, kind, None) or getattr(torch, kind, None) for kind in kinds]
    if None in found:
        name = kinds[found.index(None)]
        raise ValueError(f"row {row}, {pattern}: torch has no function {name}: set_reference")
    first, *others = found

    def then(y: torch.Tensor) -> torch.Tensor:
        for function in others:
            y = function(y)
        return y

    if kinds[0] in CONVS:
        return lambda x, weight, bias, stride, padding, dilation, groups: then(
            first(x, weight, bias, stride, padding, dilation, groups)
        )
    if kinds[0] in TRANSPOSED:
        return lambda x, weight, bias, stride, padding, output_padding, groups, dilation: then(
            first(x, weight, bias, stride, padding, output_padding, groups, dilation)
        )
    if kinds[0] == "linear":
        return lambda x, weight, bias: then(first(x, weight, bias))
    if kinds[0] in ("add", "mul", "sub", "div", "matmul"):
        return lambda a, b: then(first(a, b))
    return lambda x: then(first(x))


def _sizes(kind: str) -> tuple[tuple[int, ...], ...]:
    if kind == "linear":
        return _ROWS
    return _IMAGES if kind in CONVS or kind in TRANSPOSED else _SHAPES


def _shapes(kind: str, size: tuple[int, ...]) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of the input, and of the weight with its output channels and their dimension."""
    if kind == "linear":
        rows, inputs, outputs = size
        return (rows, inputs), {"weight": ((outputs, inputs), outputs, 0)}
    dims = CONVS.get(kind) or TRANSPOSED.get(kind)
    if not dims:
        return size, {}
    batch, inputs, outputs, groups, length, kernel, stride, padding = size
    values: dict[str, Any] = {
        "stride": [stride] * dims,
        "padding": [padding] * dims,
        "dilation": [1] * dims,
        "groups": groups,
    }
    window = (kernel,) * dims
    if kind in TRANSPOSED:
        values["output_padding"] = [0] * dims
        # A scale for each output channel of a group: all groups have the same.
        values["weight"] = ((inputs, outputs // groups, *window), outputs, 1)
    else:
        values["weight"] = ((outputs, inputs // groups, *window), outputs, 0)
    return (batch, inputs, *(length,) * dims), values
