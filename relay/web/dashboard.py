"""The dashboard's page and how a browser logs in to it. The page is files alone; what it shows it asks the commands for."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web

from relay.services.dashboard_logins import Session
from relay.wire.errors import NotFound
from relay.wire.links import encode_id
from relay.wire.resources import Answer, Base64Url, Bytes32, Request

from .call import Call, Route, Signing, answer, nothing
from .login import cookie_of, drop_cookie, refuse_other_pages, session_of, set_cookie

_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}
_CONTENT_SECURITY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INDEX: Final = "index.html"


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    content_type: str
    etag: str


def _load() -> Mapping[str, _File]:
    """What lies in page/, read once: a few files of some hundred kilobytes in all."""
    found = {}
    folder = resources.files(__package__) / "page"
    for path in (*folder.iterdir(), *(folder / "vendor").iterdir()):
        suffix = path.name[path.name.rfind(".") :]
        if suffix in _TYPES:
            content = path.read_bytes()
            found[path.name] = _File(content, _TYPES[suffix], hashlib.sha256(content).hexdigest()[:32])
    return found


FILES: Final = web.AppKey("dashboard_files", Mapping[str, _File])


async def _open(app: web.Application) -> None:
    app[FILES] = await asyncio.to_thread(_load)


class LogInRequest(Request):
    """POST /admin/v1/log-in: the 32 B secret of a link of `tokenim-relay dashboard link`."""

    secret: Bytes32


class SessionAnswer(Answer):
    """Who is logged in: `account` is an id, or None for a user of the machine; `rights` are operations of the table of roles,
    `roles` the names of all roles there are.
    """

    account: str | None
    rights: list[str]
    roles: list[str]
    origin: str
    version: str


class LogInAnswer(SessionAnswer):
    """The same once a browser logged in. `csrf` (32 B) goes into the header TokenIM-CSRF of each request from now on."""

    csrf: Base64Url


async def _told(call: Call, session: Session) -> dict[str, Any]:
    authority = await call.services.logins.authority(session)
    return {
        "account": None if session.account_id is None else encode_id(session.account_id),
        "rights": sorted(authority.permissions),
        "roles": list(call.services.logins.role_names),
        "origin": call.services.origin,
        "version": version("tokenim"),
    }


async def log_in(call: Call) -> web.StreamResponse:
    """POST /admin/v1/log-in."""
    refuse_other_pages(call.request)
    secret = call.read(LogInRequest).secret
    cookie, session = await call.services.logins.log_in(secret)
    answered = answer(LogInAnswer(**await _told(call, session), csrf=session.csrf))
    set_cookie(call.request, answered, cookie, trusted=call.services.settings.proxy.trusted)
    return answered


async def log_out(call: Call) -> web.StreamResponse:
    """POST /admin/v1/log-out."""
    session_of(call.request, call.services.logins)
    call.services.logins.log_out(cookie_of(call.request))
    answered = nothing()
    drop_cookie(answered)
    return answered


async def session(call: Call) -> web.StreamResponse:
    """GET /admin/v1/session."""
    return answer(SessionAnswer(**await _told(call, session_of(call.request, call.services.logins))))


async def page(call: Call) -> web.StreamResponse:
    """GET / and /page/NAME: a file of the page, which is the same for everybody."""
    file = call.request.app[FILES].get(call.request.match_info.get("name", _INDEX))
    if file is None:
        raise NotFound
    etag = f'"{file.etag}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _CONTENT_SECURITY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if call.request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=file.content, content_type=file.content_type, charset="utf-8", headers=headers)


DASHBOARD_ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/", page, Signing.NONE, "the dashboard", answer_media="text/html"),
    Route(
        "GET", "/page/{name}", page, Signing.NONE, "a file of the dashboard", answer_media="text/javascript"
    ),
    Route(
        "POST",
        "/admin/v1/log-in",
        log_in,
        Signing.NONE,
        "a browser logs in by a link",
        request=LogInRequest,
        answer=LogInAnswer,
    ),
    Route("GET", "/admin/v1/session", session, Signing.NONE, "who is logged in", answer=SessionAnswer),
    Route("POST", "/admin/v1/log-out", log_out, Signing.NONE, "a browser logs out", status=204),
)


def add_page(app: web.Application) -> None:
    """The files are read when the application starts."""
    app.on_startup.append(_open)
