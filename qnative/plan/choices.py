"""What measurements decided about single nodes, beyond what the rows of a config say."""

from dataclasses import dataclass, field


@dataclass
class Choices:
    """avoided: names of nodes that must not run in 8 bits with calibrated scales, and why. apart:
    those whose inputs keep scales of their own. half: those whose weights are float16. floats:
    those that stay float, whatever the config says, and why."""

    avoided: dict[str, str] = field(default_factory=dict)
    apart: set[str] = field(default_factory=set)
    half: set[str] = field(default_factory=set)
    floats: dict[str, str] = field(default_factory=dict)
