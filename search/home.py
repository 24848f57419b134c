"""Where everything that Emphasis writes lies; nobody else writes a path by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one installation.

    Args:
        path: The folder; made when first written to.
        store_url: SQLAlchemy URL of the store; None is SQLite in the folder.
        tracking_uri: MLflow tracking server or store; None is SQLite in the folder.
    """

    path: Path
    _store_url: str | None = None
    _tracking_uri: str | None = None

    @staticmethod
    def resolve(path: str | Path | None = None) -> Home:
        """The home given, else EMPHASIS_HOME, else ~/.emphasis.

        EMPHASIS_STORE_URL and MLFLOW_TRACKING_URI replace the embedded store and tracking store.
        """
        chosen = path or os.environ.get("EMPHASIS_HOME") or Path.home() / ".emphasis"
        folder = Path(chosen).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return Home(
            folder, os.environ.get("EMPHASIS_STORE_URL") or None, os.environ.get("MLFLOW_TRACKING_URI") or None
        )

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
