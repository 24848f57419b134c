from __future__ import annotations

import shutil
from pathlib import Path

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
