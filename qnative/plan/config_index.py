"""The rows of a BackendConfig by the kinds of aten ops that their patterns stand for."""

from typing import NamedTuple, TypeAlias

from torch.fx import Node

from ..backend_config import BackendConfig, BackendPatternConfig, DTypeConfig
from ..backend_config.kinds import Kinds, all_kinds_of, kinds_of
from ..graph.nodes import NoDtypes, kind
from ..graph.sequence import canonical, follow, is_kind
from .decision import is_foreign
from .modes import STATIC, Dtypes

Rows: TypeAlias = list[BackendPatternConfig]


class Match(NamedTuple):
    """A sequence of a config, found in a graph. rows: its rows with their positions in the config;
    [] if the graph has only a part of it, and ``missing`` says what lacks."""

    nodes: tuple[Node, ...]
    rows: list[tuple[int, BackendPatternConfig]]
    missing: str

    def near_miss(self, missing: str) -> str:
        return f"matched {' and '.join(node.name for node in self.nodes)}, but {missing}"


class ConfigIndex:
    """The rows of a BackendConfig by the kinds of their patterns.

    Rows that name another library's kernels stand apart: no op of qnative runs them.
    """

    def __init__(self, config: BackendConfig):
        self.name = config.name or "unnamed"
        self.rows = [row for row in config.configs if row.pattern is not None]
        self._rows: dict[Kinds, Rows] = {}
        self._kernels: dict[str, list[tuple[Kinds, BackendPatternConfig]]] = {}
        for row in self.rows:
            kinds = kinds_of(row.pattern)
            if any(map(is_foreign, getattr(row, "ops", ()))):
                self._kernels.setdefault(canonical(kinds[0]), []).append((kinds, row))
            else:
                self._rows.setdefault(kinds, []).append(row)
        for rows in self._kernels.values():
            rows.sort(key=lambda item: -len(item[0]))
        self._sequences: dict[str, dict[Kinds, list[tuple[int, BackendPatternConfig]]]] = {}
        for i, row in enumerate(config.configs):
            if row.pattern is not None:
                kinds = all_kinds_of(row.pattern)
                same = self._sequences.setdefault(kinds[0], {})
                same.setdefault(kinds, []).append((i, row))
        # nn.ReLU6 is exported as a hardtanh.
        if relu6 := self.find("relu6"):
            self._rows.setdefault(("hardtanh",), relu6)
        # addmm with a constant matrix is rewritten as a linear layer.
        if addmm := self.find("addmm"):
            self._rows.setdefault(("linear",), addmm)

    def find(self, *kinds: str) -> Rows:
        """The rows for a sequence of kinds: those for the computation that they are a form of, or
        else for themselves. [] if the config has none."""
        return self._rows.get(tuple(map(canonical, kinds))) or self._rows.get(kinds, [])

    def matches(self, node: Node) -> list[Match]:
        """The sequences that begin with a node, whole or in part, the longest first. BatchNorm
        counts as an op of its own."""
        names = {kind(node), canonical(kind(node)), "relu6"}
        starts = [item for name in names for item in self._sequences.get(name, {}).items()]
        found = []
        for kinds, rows in sorted(starts, key=lambda item: (-len(item[0]), item[0])):
            if not is_kind(node, kinds[0]):
                continue
            nodes, why_not = follow(node, kinds)
            if len(nodes) == len(kinds):
                found.append(Match(nodes, rows, ""))
            elif why_not or len(nodes) > 1:
                missing = why_not or f"no {kinds[len(nodes)]} follows {nodes[-1].name}"
                found.append(Match(nodes, [], missing))
        return found

    def kernels(self, node: Node) -> list[tuple[Kinds, BackendPatternConfig]]:
        """The rows with kernels of other libraries whose pattern may begin here, longest first."""
        return self._kernels.get(canonical(kind(node)), [])


def observation(row: BackendPatternConfig) -> str:
    """Name of a row's ObservationType."""
    return row.observation_type.name


def static_dtypes(rows: Rows, weighted: bool) -> tuple[BackendPatternConfig, DTypeConfig]:
    """The first row and DTypeConfig that static 8-bit quantization can use. NoDtypes, with what
    there is, if there is none."""
    seen: dict[str, None] = {}
    wrong = ""
    for row in rows:
        for config in row.dtype_configs:
            dtypes = Dtypes.of(config)
            seen[str(dtypes)] = None
            if not dtypes.fit(STATIC):
                continue
            if weighted and not dtypes.has_int8_weight:
                got = str(dtypes.weight).removeprefix("torch.")
                wrong = f" (it takes an int8 weight with a scale per channel, got {got})"
                continue
            return row, config
    raise NoDtypes(
        f"the config has no static 8-bit dtypes for it, only {', '.join(seen) or 'none'}{wrong}"
    )


def direct_dtypes(rows: Rows, mode: str) -> tuple[BackendPatternConfig, DTypeConfig]:
    """The first row and DTypeConfig that ask for ``mode``. NoDtypes, with what there is, if there
    is none."""
    choices = [(row, config) for row in rows for config in row.dtype_configs]
    for row, config in choices:
        if Dtypes.of(config).fit(mode):
            return row, config
    seen = ", ".join(dict.fromkeys(str(Dtypes.of(config)) for _, config in choices))
    raise NoDtypes(f"the config has no {mode} dtypes for it, only {seen}")


def named_op(row: BackendPatternConfig, config: DTypeConfig) -> str:
    """The op that a row names for one of its DTypeConfigs; "" for rows of upstream, which name
    none."""
    op = getattr(row, "op", None)
    return op(list(row.dtype_configs).index(config)).removeprefix("qnative::") if op else ""
