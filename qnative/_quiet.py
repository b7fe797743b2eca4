"""Messages of torch and torchao that nobody but their authors can act on."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

# Of torchao's own use of torch, and of its libraries for GPUs that are not there.
_LOGGED = {
    "torchao": ("Failed to load", "Skipping import of cpp extensions"),
    "torch.utils._pytree": ("is an Enum subclass and is now natively supported",),
}
# When torch copies a module that torch.export made.
_WARNED = (r"`isinstance\(treespec, LeafSpec\)` is deprecated",)


class _Without(logging.Filter):
    def __init__(self, texts: tuple[str, ...]):
        super().__init__()
        self.texts = texts

    def filter(self, record: logging.LogRecord) -> bool:
        return not any(text in record.getMessage() for text in self.texts)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides these messages while the block, or a function that it decorates, runs; all others, such
    as those of a user's model, are shown."""
    filters = [(logging.getLogger(name), _Without(texts)) for name, texts in _LOGGED.items()]
    for logger, each in filters:
        logger.addFilter(each)
    try:
        with warnings.catch_warnings():
            for text in _WARNED:
                warnings.filterwarnings("ignore", message=text)
            yield
    finally:
        for logger, each in filters:
            logger.removeFilter(each)
