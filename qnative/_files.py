"""Files that the package writes appear only when they are complete."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` when the block ends, and is gone if it fails.

    Its name cannot be guessed, and it is opened only if nothing has that name, a link neither: in
    a folder that others may write to, nobody can lead the bytes elsewhere, and two writers of one
    path do not meet. An OSError names a path that is no file, such as a folder or a device.
    """
    path = os.fspath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(f"{path} is not a regular file")
    partial = f"{path}.{secrets.token_hex(8)}.part"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(partial, flags, 0o666)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(partial)
        raise
