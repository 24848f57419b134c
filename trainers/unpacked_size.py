"""Archives that are not read where they would fill the memory."""

from __future__ import annotations

import zipfile
from pathlib import Path

# Labels of ImageNet's 1.3 million images take 10 MB a column as int64: what exceeds this is no file of labels.
_MOST_BYTES = 2**29


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
