from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from search.folder_contents import contents


def test_everything_is_told_and_what_vanishes_meanwhile_is_left_out(tmp_path: Path) -> None:
    for name in ("a/one", "b/two", "c/d/three"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = contents(tmp_path)
    first = next(found)
    assert first.parent == tmp_path
    shutil.rmtree(tmp_path / "b")
    names = {path.relative_to(tmp_path).as_posix() for path in (first, *found)}
    assert {"a", "a/one", "c", "c/d", "c/d/three"} <= names
    assert "b/two" not in names
    assert list(contents(tmp_path / "never")) == []


def test_what_is_there_and_cannot_be_listed_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken").mkdir()
    listed = os.scandir

    def scan(path: str) -> Any:
        if Path(path).name == "broken":
            raise OSError(errno.EIO, "Input/output error", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(OSError, match="Input/output error"):
        list(contents(tmp_path))
