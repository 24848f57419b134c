"""Where everything that Emphasis writes lies; nobody else writes a path by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.user_path import user_path

STORE_URL = "EMPHASIS_STORE_URL"
STORE_PASSWORD_FILE = "EMPHASIS_STORE_PASSWORD_FILE"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one installation.

    Args:
        path: The folder; made when first written to.
        store_url: SQLAlchemy URL of the store; None is SQLite in the folder.
        tracking_uri: MLflow tracking server or store; None is SQLite in the folder.
    """

    path: Path
    # May hold a password, which no log may show.
    _store_url: str | None = field(default=None, repr=False)
    _tracking_uri: str | None = field(default=None, repr=False)

    @staticmethod
    def resolve(path: str | Path | None = None) -> Home:
        """The home given, else EMPHASIS_HOME, else ~/.emphasis.

        EMPHASIS_STORE_URL and MLFLOW_TRACKING_URI replace the embedded store and tracking store. The store's password
        may stay in a file that EMPHASIS_STORE_PASSWORD_FILE names, where the URL has none.

        Raises:
            InvalidInput: The password's file cannot be used, or the folder is in the home folder of nobody.
            OSError: The folder cannot be made.
        """
        folder = user_path(path or os.environ.get("EMPHASIS_HOME") or "~/.emphasis", "home").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return Home(folder, _store_url(), os.environ.get("MLFLOW_TRACKING_URI") or None)

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store."""
        return self._store_url or f"sqlite:///{self._database('emphasis')}"

    @property
    def store_file(self) -> Path | None:
        """The embedded store; None where the store is another."""
        return self._database("emphasis") if self._store_url is None else None

    @property
    def tracking_uri(self) -> str:
        """MLflow tracking URI."""
        return self._tracking_uri or f"sqlite:///{self._database('mlflow')}"

    @property
    def tracking_file(self) -> Path | None:
        """The embedded tracking store; None where another keeps the record."""
        return self._database("mlflow") if self._tracking_uri is None else None

    @property
    def artifact_root(self) -> Path | None:
        """Where MLflow keeps files; None where a server decides."""
        return self.path / "artifacts" if self._tracking_uri is None else None

    @property
    def figures_root(self) -> Path:
        """The folders of figures and tables: of sweeps, of comparisons and of noise estimates."""
        return self.path / "figures"

    def figures(self, sweep_id: str) -> Path:
        """The figures and tables of a sweep."""
        return self.figures_root / sweep_id

    def noise_estimate(self, name: str) -> Path:
        """The estimated noise of some labels, beside the figures of sweeps."""
        return self.figures_root / f"noise-{name}"

    @property
    def checkpoints_root(self) -> Path:
        """The folders of checkpoints, one a sweep."""
        return self.path / "checkpoints"

    def checkpoints(self, sweep_id: str) -> Path:
        """The states of a sweep's unfinished trials."""
        return self.checkpoints_root / sweep_id

    @property
    def ray(self) -> Path:
        """Ray Tune's own notes; nothing is ever read back from them."""
        return self.path / "ray"

    def _database(self, name: str) -> Path:
        return self.path / f"{name}.db"


def _store_url() -> str | None:
    """The store's URL out of the environment, with the password out of its file."""
    url, file = os.environ.get(STORE_URL) or None, os.environ.get(STORE_PASSWORD_FILE) or None
    if file is None:
        return url
    if url is None:
        problem = f"is the password of no store: {STORE_URL} is not set"
        raise InvalidInput(FieldError(STORE_PASSWORD_FILE, file, problem, f"Set {STORE_URL} too, or neither."))
    # Imported here since only shared installations have a password.
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return url  # whoever opens the store says what is wrong with it
    if parsed.password is None:
        parsed = parsed.set(password=_password(file))
    return parsed.render_as_string(hide_password=False)


def _password(file: str) -> str:
    try:
        # A file that was written with an editor or echo ends in a newline.
        password = Path(file).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        remedy = "Give a file that this user may read, with the password of the store alone."
        raise InvalidInput(FieldError(STORE_PASSWORD_FILE, file, problem, remedy)) from None
    if not password:
        remedy = "Write the password of the store into it."
        raise InvalidInput(FieldError(STORE_PASSWORD_FILE, file, "is empty", remedy))
    return password
