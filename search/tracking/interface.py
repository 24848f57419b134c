"""Looking at the record: the command that serves MLflow's pages, and links into them."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from search.tracking.environment import MLFLOW_SETTINGS
from trainers.errors import FieldError
from trainers.errors import InvalidInput

_SERVER = (sys.executable, "-m", "search.tracking.server", "server", "--workers", "1")

# What a variable of the machine's could otherwise switch off, or move the pages to.
_CLOSED = {
    "MLFLOW_DEPLOYMENTS_TARGET": "",
    "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
    "MLFLOW_ENABLE_WORKSPACES": "false",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
    "MLFLOW_STATIC_PREFIX": "",
    "MLFLOW_UVICORN_OPTS": "",
}


def is_server(tracking_uri: str) -> bool:
    """Whether the URI names a running MLflow server rather than a database that we open ourselves."""
    return tracking_uri.startswith(("http://", "https://"))


def without_password(uri: str) -> str:
    """Return a URI as it may be shown: with ``***`` for a password."""
    try:
        return make_url(uri).render_as_string(hide_password=True)
    except ArgumentError:  # a folder, or a name such as "databricks": no password in it
        return uri


def without_password_of(uri: str, text: str) -> str:
    """Return a text, which may quote a URI, as it may be shown: with ``***`` for the URI's password."""
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return text
    options = [str(value) for name, value in url.query.items() if "password" in name]
    for secret in (urlsplit(uri).password, url.password, *options):  # as it is written, and as it is meant
        text = text.replace(str(secret), "***") if secret else text
    return text


def ui_command(
    tracking_uri: str, artifact_root: Path | None = None, host: str = "127.0.0.1", port: int = 5000
) -> tuple[list[str], dict[str, str]]:
    """Return the command that serves MLflow's pages over the recorded sweeps.

    Args:
        tracking_uri: Database that the sweeps are recorded in, e.g. ``sqlite:////home/me/.emphasis/mlflow.db``.
        artifact_root: Folder of the figures and exported files; None leaves the choice to MLflow.
        host: Address to listen on. The pages have no log-in, so the default is this machine only.
        port: TCP port to listen on.

    Returns:
        The command line, and the whole environment to run it in (telemetry and MLflow's job runner off).

    Raises:
        InvalidInput: The tracking URI is a server already; its own pages show the record.
    """
    _refuse_server(tracking_uri)
    command = [*_SERVER]
    if artifact_root is not None:
        # Both options: where new experiments would put files, and where uploads to this server would. Without
        # the second MLflow makes a folder of its own wherever the command happens to be started.
        command += ["--default-artifact-root", artifact_root.resolve().as_uri()]
        command += ["--artifacts-destination", str(artifact_root.resolve())]
    command += ["--host", host, "--port", str(port)]
    # The database goes by the environment because its password would be in every list of processes.
    return command, {**MLFLOW_SETTINGS, **os.environ, "MLFLOW_BACKEND_STORE_URI": tracking_uri}


def gated_command(tracking_uri: str, artifact_root: Path, address: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that serves MLflow to a gateway, which alone may reach it.

    Files go through the server, so that a worker on another machine can leave its figures too.

    Args:
        tracking_uri: Database that the sweeps are recorded in.
        artifact_root: Folder that the server keeps figures and exported files in.
        address: Where the gateway finds it (:func:`search.service.mlflow_gateway.gateway`). ``unix:PATH`` is a
            socket, which nobody reaches who may not enter its folder; ``http://HOST:PORT`` is open to whoever
            reaches that port, and so to every user of this machine.

    Returns:
        The command line, and the whole environment to run it in; no variable of ours lets MLflow run jobs, send
        telemetry or take requests for another name than the gateway gives it.

    Raises:
        InvalidInput: The tracking URI is a server already.
    """
    _refuse_server(tracking_uri)
    command = [*_SERVER, "--default-artifact-root", "mlflow-artifacts:/"]
    command += ["--artifacts-destination", str(artifact_root.resolve())]
    if address.startswith("unix:"):
        command += ["--uvicorn-opts", f"--uds {shlex.quote(address.removeprefix('unix:'))}"]
        command += ["--allowed-hosts", "localhost"]
    else:
        parts = urlsplit(address)
        command += ["--host", str(parts.hostname), "--port", str(parts.port or 80)]
        command += ["--allowed-hosts", parts.netloc]
    return command, {**os.environ, **MLFLOW_SETTINGS, **_CLOSED, "MLFLOW_BACKEND_STORE_URI": tracking_uri}


def _refuse_server(tracking_uri: str) -> None:
    if is_server(tracking_uri):
        shown = without_password(tracking_uri)
        raise InvalidInput(
            FieldError(
                "tracking_uri",
                shown,
                "the sweeps are recorded by an MLflow server, which has its own pages",
                f"Open {shown} in a browser.",
            )
        )


def direct_run_url(address: str, run_id: str) -> str:
    """Return an address that leads to the page of one run, for those who do not know its experiment.

    Args:
        address: Where MLflow's pages are served, e.g. ``http://127.0.0.1:5000``.
        run_id: MLflow's id of the run.
    """
    return f"{address.rstrip('/')}/#/runs/{run_id}"
