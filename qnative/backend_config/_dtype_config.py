"""Dtypes: ObservationType, DTypeWithConstraints and DTypeConfig."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from . import _convert
from ._wrapper import Field, Wrapper, check_dtype, check_int, check_number, check_type, dtype_of

if TYPE_CHECKING:
    import torch


class ObservationType(Enum):
    """How the input and the output of a pattern are observed."""

    OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT = 0
    """Each has an observer of its own: conv, linear, softmax."""

    OUTPUT_SHARE_OBSERVER_WITH_INPUT = 1
    """The output uses the observer of the input: cat, max_pool2d."""

    INPUT_OUTPUT_NOT_OBSERVED = 2
    """Neither is observed: x.shape, x.size()."""


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(init=False)
class DTypeWithConstraints(Wrapper):
    """A dtype, and the constraints on a QConfig that uses it.

    * ``quant_min_lower_bound``, ``quant_max_upper_bound``: its quant_min and quant_max lie inside.
    * ``scale_min_lower_bound``, ``scale_max_upper_bound``: its scales, and its least scale (eps),
      lie between. Upstream does not check the upper bound.
    * ``scale_exact_match``, ``zero_point_exact_match``: its observer has these fixed parameters,
      as sigmoid and tanh need them.

    TypeError for a dtype that is no torch.dtype, and for a bound that is no number; ValueError for
    an int of more than 64 bits.
    """

    dtype: Field[torch.dtype | None] = Field(dtype_of, check_dtype)
    quant_min_lower_bound: Field[int | float | None] = Field(_as_it_is, check_number)
    quant_max_upper_bound: Field[int | float | None] = Field(_as_it_is, check_number)
    scale_min_lower_bound: Field[int | float | None] = Field(_as_it_is, check_number)
    scale_max_upper_bound: Field[int | float | None] = Field(_as_it_is, check_number)
    scale_exact_match: Field[float | None] = Field(float, check_number)
    zero_point_exact_match: Field[int | None] = Field(
        int, lambda name, value: check_int(name, value, optional=True)
    )

    def __init__(
        self,
        dtype: torch.dtype | None = None,
        quant_min_lower_bound: int | float | None = None,
        quant_max_upper_bound: int | float | None = None,
        scale_min_lower_bound: int | float | None = None,
        scale_max_upper_bound: int | float | None = None,
        scale_exact_match: float | None = None,
        zero_point_exact_match: int | None = None,
    ):
        self._adopt(self._construct())
        self.dtype = dtype
        self.quant_min_lower_bound = quant_min_lower_bound
        self.quant_max_upper_bound = quant_max_upper_bound
        self.scale_min_lower_bound = scale_min_lower_bound
        self.scale_max_upper_bound = scale_max_upper_bound
        self.scale_exact_match = scale_exact_match
        self.zero_point_exact_match = zero_point_exact_match

    def to_torch(self) -> Any:
        """The same as an object of ``torch.ao.quantization.backend_config``."""
        return _convert.ToTorch().constraints(self)

    @classmethod
    def from_torch(cls, constraints: Any) -> DTypeWithConstraints:
        """From an object of ``torch.ao.quantization.backend_config``."""
        return _convert.FromTorch().constraints(constraints)


def _optional(name: str, value: Any, wanted: type) -> Any:
    return check_type(name, value, wanted, optional=True)


def _script_dtype(name: str, value: torch.dtype | DTypeWithConstraints | None) -> Any:
    if isinstance(value, DTypeWithConstraints):
        return value.script_object
    return check_dtype(name, value)


_constraints = Field(
    DTypeWithConstraints.from_script_object,
    lambda name, value: check_type(name, value, DTypeWithConstraints).script_object,
)


@dataclass(init=False)
class DTypeConfig(Wrapper):
    """One supported combination of dtypes: of the input and output activations, weight and bias.

    Dtypes mean what they mean in an observer: for dynamic quantization the input is quint8 though
    the tensor that enters is float. ``input_dtype``, ``output_dtype`` and ``weight_dtype`` may be
    given as :class:`DTypeWithConstraints`, which are then kept by reference.

    TypeError for anything else than these, None, and for ``is_dynamic`` a bool.
    """

    input_dtype_with_constraints: Field[DTypeWithConstraints] = copy.copy(_constraints)
    output_dtype_with_constraints: Field[DTypeWithConstraints] = copy.copy(_constraints)
    weight_dtype_with_constraints: Field[DTypeWithConstraints] = copy.copy(_constraints)
    bias_dtype: Field[torch.dtype | None] = Field(dtype_of, check_dtype)
    is_dynamic: Field[bool | None] = Field(bool, lambda name, value: _optional(name, value, bool))

    def __init__(
        self,
        input_dtype: torch.dtype | DTypeWithConstraints | None = None,
        output_dtype: torch.dtype | DTypeWithConstraints | None = None,
        weight_dtype: torch.dtype | DTypeWithConstraints | None = None,
        bias_dtype: torch.dtype | None = None,
        is_dynamic: bool | None = None,
    ):
        self._adopt(
            self._construct(
                _script_dtype("input_dtype", input_dtype),
                _script_dtype("output_dtype", output_dtype),
                _script_dtype("weight_dtype", weight_dtype),
                check_dtype("bias_dtype", bias_dtype),
                _optional("is_dynamic", is_dynamic, bool),
            )
        )

    @property
    def input_dtype(self) -> torch.dtype | None:
        return self.input_dtype_with_constraints.dtype

    @property
    def output_dtype(self) -> torch.dtype | None:
        return self.output_dtype_with_constraints.dtype

    @property
    def weight_dtype(self) -> torch.dtype | None:
        return self.weight_dtype_with_constraints.dtype

    @classmethod
    def from_dict(cls, dtype_config_dict: dict[str, Any]) -> DTypeConfig:
        """From a dict with any of these keys:

        "input_dtype", "output_dtype", "weight_dtype": torch.dtype or DTypeWithConstraints
        "bias_dtype": torch.dtype
        "is_dynamic": bool
        """
        check_type("dtype_config_dict", dtype_config_dict, dict)
        for key in ("input_dtype", "output_dtype", "weight_dtype"):
            try:
                _script_dtype(key, dtype_config_dict.get(key))
            except TypeError:
                raise ValueError(
                    f"Expected {key} to be a torch.dtype or DTypeWithConstraints"
                ) from None
        return cls(
            dtype_config_dict.get("input_dtype"),
            dtype_config_dict.get("output_dtype"),
            dtype_config_dict.get("weight_dtype"),
            dtype_config_dict.get("bias_dtype"),
            dtype_config_dict.get("is_dynamic"),
        )

    def to_dict(self) -> dict[str, Any]:
        """The dict that :meth:`from_dict` takes, with the fields that are set."""
        items: dict[str, Any] = {
            "input_dtype": self.input_dtype_with_constraints,
            "output_dtype": self.output_dtype_with_constraints,
            "weight_dtype": self.weight_dtype_with_constraints,
        }
        items = {key: value for key, value in items.items() if value.dtype is not None}
        items |= {"bias_dtype": self.bias_dtype, "is_dynamic": self.is_dynamic}
        return {key: value for key, value in items.items() if value is not None}

    def to_torch(self) -> Any:
        """The same as an object of ``torch.ao.quantization.backend_config``."""
        return _convert.ToTorch().dtype_config(self)

    @classmethod
    def from_torch(cls, dtype_config: Any) -> DTypeConfig:
        """From an object of ``torch.ao.quantization.backend_config``."""
        return _convert.FromTorch().dtype_config(dtype_config)
