"""The log-in page: a token in, a cookie out; HTML alone, so that it works everywhere and without internet."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.responses import Response
from starlette.routing import Route

from search.service.guard import COOKIE
from search.service.guard import Guard

LOGIN_PATH = "/login"
LOGOUT_PATH = "/logout"
OPEN_REQUESTS = (("GET", LOGIN_PATH), ("HEAD", LOGIN_PATH), ("POST", LOGIN_PATH), ("POST", LOGOUT_PATH))
"""Method and path of what :class:`search.service.guarded.Guarded` is to let pass without a token."""

_MONTH = 30 * 24 * 3600
_LONGEST_FORM = 4096

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #556070; --paper: #f4f5f7; --card: #fff; --line: #8a94a3;
  --accent: #1f5fae; --on-accent: #fff; --wrong: #a51d24; --wrong-paper: #fdecec; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf0; --soft: #aab3c0; --paper: #14181f; --card: #1d232c;
  --line: #6d7887; --accent: #8ab8f5; --on-accent: #10151c; --wrong: #ffb0b0; --wrong-paper: #3a1d20; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { width: 100%; max-width: 26rem; padding: 2rem; background: var(--card); border-radius: .75rem;
  box-shadow: 0 1px 3px rgb(0 0 0 / .18), 0 10px 30px rgb(0 0 0 / .08); }
h1 { margin: 0 0 .25rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1.25rem; color: var(--soft); }
label { display: block; margin-bottom: .375rem; font-weight: 600; }
input, button { width: 100%; padding: .625rem .75rem; border-radius: .4rem; font: inherit; }
input { border: 1px solid var(--line); background: var(--paper); color: var(--ink); }
input[aria-invalid=true] { border-color: var(--wrong); }
button { margin-top: 1rem; border: 0; background: var(--accent); color: var(--on-accent); font-weight: 600;
  cursor: pointer; }
input:focus-visible, button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
[role=alert] { padding: .625rem .75rem; border-radius: .4rem; background: var(--wrong-paper); color: var(--wrong); }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; }
.note { margin: 1.25rem 0 0; font-size: .875rem; }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<h1>Emphasis</h1>
<p>Log in to see the sweeps and their record.</p>
{alert}<form method="post">
<label for="token">Token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password"
 autocapitalize="off" spellcheck="false" aria-describedby="{described}"{invalid}>
<button type="submit">Log in</button>
</form>
<p class="note" id="hint">Whoever runs this service makes tokens with <code>emphasis token create</code>.
 They begin with <code>emph_</code>.</p>
</main>
</body>
</html>
"""

_ALERT = """<p role="alert" id="wrong">This token is unknown or was revoked. Check that all of it was copied.</p>
"""

_SECURITY = {
    # The address to go on to is in the form's own address, so the form may be sent nowhere but here.
    "Content-Security-Policy": "default-src 'none'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'",
    # Not "no-referrer": browsers then send the form with "Origin: null", which looks like another site.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def login_routes(guard: Guard, tls: bool = False) -> list[Route]:
    """Return the routes of the log-in page, and of the log-out that a form may post to.

    They are to be open to all (:data:`OPEN_REQUESTS`). The query ``next`` names the path to go on to.

    Args:
        guard: Knows whose a token is.
        tls: Whether browsers come through a proxy that speaks TLS, however it passes them on: the cookie is then for
            TLS only.
    """

    def for_tls_only(request: Request) -> bool:
        return tls or request.url.scheme == "https"

    async def show(request: Request) -> Response:
        if not await run_in_threadpool(guard.required):
            return _go_to(_next(request))
        return _page()

    async def log_in(request: Request) -> Response:
        token = await _token(request)
        if token is None or await run_in_threadpool(guard.recognise, token) is None:
            return _page(wrong=True)
        answer = _go_to(_next(request))
        answer.set_cookie(
            COOKIE,
            token,
            max_age=_MONTH,
            httponly=True,
            secure=for_tls_only(request),
            # Not strict: a link in a message to a run would then ask for the token again.
            samesite="lax",
        )
        return answer

    async def log_out(request: Request) -> Response:
        answer = _go_to(LOGIN_PATH)
        answer.delete_cookie(COOKIE, httponly=True, secure=for_tls_only(request), samesite="lax")
        return answer

    return [
        Route(LOGIN_PATH, show, methods=["GET"]),
        Route(LOGIN_PATH, log_in, methods=["POST"]),
        Route(LOGOUT_PATH, log_out, methods=["POST"]),
    ]


def _page(wrong: bool = False) -> Response:
    text = _PAGE.format(
        title="Error: log in to Emphasis" if wrong else "Log in to Emphasis",
        style=_STYLE,
        alert=_ALERT if wrong else "",
        described="wrong hint" if wrong else "hint",
        invalid=' aria-invalid="true"' if wrong else "",
    )
    headers = {**_SECURITY, "WWW-Authenticate": 'Bearer realm="emphasis"'} if wrong else _SECURITY
    return HTMLResponse(text, 401 if wrong else 200, headers)


async def _token(request: Request) -> str | None:
    form = b""
    async for chunk in request.stream():
        form += chunk
        if len(form) > _LONGEST_FORM:
            return None
    return parse_qs(form.decode("ascii", "replace")).get("token", [""])[0].strip()


def _next(request: Request) -> str:
    """Where to go on to: a path of this very address, whatever was asked for."""
    path = request.query_params.get("next", "/")
    # Browsers read a backslash as a slash, two slashes as another host, and skip control characters.
    leaves = path.startswith("//") or "\\" in path or any(ord(character) <= 0x20 for character in path)
    return "/" if leaves or not path.startswith("/") else path


def _go_to(path: str) -> Response:
    answer = Response(status_code=303, headers={"Cache-Control": "no-store"})
    answer.headers["Location"] = quote(path, safe="/%:?=&#[]@!$'()*+,;~")
    return answer
