"""How MLflow is told to behave in our processes; it reads these variables when it is imported."""

from __future__ import annotations

import os

MLFLOW_SETTINGS = {
    # A user's sweeps are nobody else's business, and a machine without a network must not wait for one.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # MLflow would announce every closed run on stdout, in the middle of the live display.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # MLflow's own HTTP retries (7, some minutes) repeat a "create run" whose answer was lost, which makes a
    # second run. The recorder retries instead, and looks for what is already there first.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def prepare_environment() -> None:
    """Set MLflow's variables in this process, leaving alone what the user has set."""
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
