"""MLflow's own command line, with its server in this very process: ``python -m search.tracking.server server …``.

MLflow would start the server as a child of its own and leave it behind, still listening, when it is killed itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from search.tracking.database import ensure_database


def main() -> None:
    """Run MLflow's command line, on a database that is whole."""
    ensure_database(os.environ.get("MLFLOW_BACKEND_STORE_URI", ""))
    import mlflow.server
    from mlflow.cli import cli

    # Where a later MLflow has no such function, it starts its server as it likes.
    mlflow.server._exec_cmd = _become
    cli()


def _become(command: list[str], *, extra_env: Mapping[str, str], **options: Any) -> None:
    os.execvpe(command[0], command, {**os.environ, **extra_env})


if __name__ == "__main__":
    main()
