"""The page at `/` of the service: static files, served so that nothing but them can run in it."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Mount
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FOLDER = Path(__file__).parent / "static"

_SECURITY = {
    # Scripts, styles and images are files of this service; text never becomes markup, which the last one enforces.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # Asked for again every time, and mostly answered with 304: after an upgrade nobody has half an old page.
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    """The page's files, each with the headers that its own HTML has."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers.update(_SECURITY)
        return answer


def page_routes() -> list[BaseRoute]:
    """Return the routes of the page: `/`, and its files below `/page`."""

    async def show(request: Request) -> Response:
        return FileResponse(_FOLDER / "index.html", media_type="text/html", headers=_SECURITY)

    return [Route("/", show, methods=["GET"], include_in_schema=False), Mount("/page", _Files(directory=_FOLDER))]
