"""All models of the zoo, by name."""

from zoo.entry import Entry
from zoo.models.audio import AUDIO
from zoo.models.tabular import TABULAR
from zoo.models.text import TEXT
from zoo.models.trained import TRAINED
from zoo.models.vision import VISION

ENTRIES: dict[str, Entry] = {e.name: e for e in (*VISION, *TEXT, *AUDIO, *TABULAR, *TRAINED)}
# Quick ones that need no package but torch and those of the test environment: CI runs them.
SMALL = ("dlrm", "ncf", "two_tower", "conformer")
