"""Where the store is, and where its password may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from search.home import Home
from trainers.errors import InvalidInput

URL = "postgresql://keeper@example:5432/emphasis"
PASSWORD = "p@ss:w/rd %41"


@pytest.fixture
def password_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("EMPHASIS_STORE_PASSWORD_FILE", str(file))
    return file


def test_password_comes_out_of_its_file_whatever_characters_it_has(
    password_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPHASIS_STORE_URL", URL)
    assert make_url(Home.resolve(tmp_path).store_url) == make_url(URL).set(password=PASSWORD)


def test_password_in_the_url_goes_before_the_file(
    password_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPHASIS_STORE_URL", URL.replace("keeper@", "keeper:another@"))
    assert make_url(Home.resolve(tmp_path).store_url).password == "another"


def test_home_that_is_shown_shows_no_password(
    password_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPHASIS_STORE_URL", URL)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example")
    shown = repr(Home.resolve(tmp_path))
    assert "p@ss" not in shown
    assert "p%40ss" not in shown
    assert "secret" not in shown


@pytest.mark.parametrize(("text", "problem"), [(None, "cannot be read"), ("\n", "is empty"), (b"\xff", "is no text")])
def test_password_file_that_is_of_no_use_is_named(
    text: str | bytes | None, problem: str, password_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPHASIS_STORE_URL", URL)
    password_file.unlink()
    if text is not None:
        password_file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput, match=problem) as refused:
        Home.resolve(tmp_path)
    assert refused.value.errors[0].field == "EMPHASIS_STORE_PASSWORD_FILE"
    assert refused.value.errors[0].value == str(password_file)


def test_password_of_no_store_is_refused(password_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="EMPHASIS_STORE_URL is not set"):
        Home.resolve(tmp_path)
