"""Zip files of torch, checked before torch's readers see them: those verify no checksum, and read
beyond a record that is shorter than the tensor in it."""

import io
import pickle
import zipfile
from collections import Counter
from typing import Any

# Bytes of an element, by the name of the class of a storage.
_ITEM_SIZES = {
    name + "Storage": size
    for size, names in {
        1: "Byte Char Bool QInt8 QUInt8 QUInt4x2 QUInt2x4 Untyped Float8_e5m2 Float8_e4m3fn "
        "Float8_e5m2fnuz Float8_e4m3fnuz Float8_e8m0fnu",
        2: "Short Half BFloat16 UInt16",
        4: "Int Float QInt32 UInt32 ComplexHalf",
        8: "Long Double ComplexFloat UInt64",
        16: "ComplexDouble",
    }.items()
    for name in names.split()
}


def check_archive(path: str, kind: str = "") -> None:
    """A RuntimeError names a file that is no zip file, the first of its records that is damaged, or
    a tensor that its record does not hold. kind: in the message, " as a TorchScript file"."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive)
    except OSError:
        raise
    except Exception as error:  # of zipfile, zlib or pickle, or whatever the bytes lead them to
        reason = str(error).splitlines()
        raise RuntimeError(
            f"qnative: {path} cannot be read{kind}: {reason[0] if reason else type(error).__name__}"
        ) from error


def _check(archive: zipfile.ZipFile) -> None:
    names = Counter(archive.namelist())
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise ValueError(f"it has two records {repeated[0]!r}")
    damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"record {damaged!r} does not match its CRC-32: the file is damaged")
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    for name in names:
        if name.endswith(("/data.pkl", "/constants.pkl")):
            for storage in _storages(archive.read(name)):
                _check_storage(storage, name.removesuffix(".pkl"), sizes)


def _check_storage(storage: Any, folder: str, sizes: dict[str, int]) -> None:
    """storage: ("storage", its class, key, device, number of elements)."""
    _, kind, key, _, numel = storage
    if kind.__name__ not in _ITEM_SIZES:
        raise ValueError(f"{kind.__name__} is no storage of torch")
    record, wanted = f"{folder}/{key}", numel * _ITEM_SIZES[kind.__name__]
    if sizes.get(record) != wanted:
        found = f"has {sizes[record]}" if record in sizes else "is not there"
        raise ValueError(f"a tensor needs {wanted} bytes of record {record!r}, which {found}")


class _Inert:
    """In place of every class and function that a pickle names: takes anything, does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass


class _Reader(pickle.Unpickler):
    """Finds the storages of a pickle and runs nothing of it."""

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data))
        self.storages: list[Any] = []

    def find_class(self, module: str, name: str) -> Any:
        return type(name, (_Inert,), {})

    def persistent_load(self, pid: Any) -> Any:
        self.storages.append(pid)
        return _Inert()


def _storages(data: bytes) -> list[Any]:
    reader = _Reader(data)
    reader.load()
    return reader.storages
