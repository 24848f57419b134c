"""Who asks, as the routes of the API need it: the service in their name, if they may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from search.service.checking import CheckingThreads
from search.service.identity import Identity
from search.service.local import LocalService
from search.service.problems import Refused
from search.service.problems import forbidden


@dataclass(frozen=True, slots=True)
class MlflowPages:
    """Where a browser finds MLflow's pages.

    Args:
        url: Their address; None where they are a port of whatever host the service is asked under.
        port: That port; None where there are no such pages.
    """

    url: str | None = None
    port: int | None = None

    def address(self, request: Request) -> str | None:
        """Their address for who made a request, whose Host header the guard has looked at."""
        if self.url is not None or self.port is None:
            return self.url
        return str(request.url.replace(port=self.port, path="", query="", fragment=""))


def _reading(request: Request) -> LocalService:
    service: LocalService = request.app.state.service
    pages: MlflowPages = request.app.state.mlflow
    return service.asked_by(_identity(request).name, pages.address(request))


def _submitting(request: Request) -> LocalService:
    if not _identity(request).may_submit:
        raise Refused(forbidden("A reader's token changes nothing; use a submitter's."))
    return _reading(request)


def _checking(request: Request) -> CheckingThreads:
    threads: CheckingThreads = request.app.state.checking
    return threads


def _identity(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


Asker = Annotated[Identity, Depends(_identity)]
"""Who asks."""

Checking = Annotated[CheckingThreads, Depends(_checking)]
"""Where submissions are checked."""

Reading = Annotated[LocalService, Depends(_reading)]
"""The service, for whoever may read."""

Submitting = Annotated[LocalService, Depends(_submitting)]
"""The service, for whoever may change anything."""
