"""Files that are written whole or not at all, and archives that are not read when they would fill the memory."""

from __future__ import annotations

import os
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Labels of ImageNet's 1.3 million images take 10 MB a column as int64: what exceeds this is no file of labels.
_MOST_BYTES = 2**29


@contextmanager
def replaced_whole(path: Path) -> Iterator[BinaryIO]:
    """A stream that becomes ``path`` when the block ends; where it fails, ``path`` stays as it was.

    Args:
        path: File to write; its folder is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_unpacked_size(path: Path) -> None:
    """Raise ValueError where the file, or what a zip archive unpacks to, is too large to hold labels.

    Args:
        path: File to look at; of an archive only the directory is read.
    """
    size = path.stat().st_size
    if size <= _MOST_BYTES and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    if size > _MOST_BYTES:
        raise ValueError(f"it unpacks to {size / 2**20:,.0f} MiB, far more than labels take")
