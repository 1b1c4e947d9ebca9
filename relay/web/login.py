"""How a browser stays logged in: a cookie that no script reads, and a token that the page sends beside it (E5).

The token is given once, at the login, and lives where only pages of this origin reach it: other servers on this host get
the cookie as well, since a cookie does not know ports, but not the token.
"""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from relay.config import Network
from relay.services.dashboard_logins import (
    SECRET_BYTES,
    SESSION_SECONDS,
    DashboardLogins,
    Session,
    require_csrf,
)
from relay.wire.errors import NotAllowed, Unauthenticated
from relay.wire.links import decode_bytes, encode_bytes

from .forwarded import forwarded_scheme

COOKIE: Final = "tokenim-dashboard"
CSRF_HEADER: Final = "TokenIM-CSRF"
_PATH: Final = "/admin/"


def _secret(text: str | None) -> bytes:
    try:
        secret = decode_bytes(text or "")
    except ValueError as error:
        raise Unauthenticated("nobody is logged in: `tokenim-relay dashboard link` makes a link") from error
    if len(secret) != SECRET_BYTES:
        raise Unauthenticated("nobody is logged in: `tokenim-relay dashboard link` makes a link")
    return secret


def cookie_of(request: web.Request) -> bytes:
    """The 32 B of the cookie; raises Unauthenticated without one."""
    return _secret(request.cookies.get(COOKIE))


def refuse_other_pages(request: web.Request) -> None:
    """A browser tells whose page sends a request (Fetch Metadata): raise NotAllowed for one of another origin."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise NotAllowed("the request did not come from the dashboard's own page")


def session_of(request: web.Request, logins: DashboardLogins) -> Session:
    """The session that this request proves; raises Unauthenticated, NotAllowed."""
    refuse_other_pages(request)
    session = logins.session(cookie_of(request))
    try:
        told = _secret(request.headers.get(CSRF_HEADER))
    except Unauthenticated as error:
        raise NotAllowed(f"the header {CSRF_HEADER} is missing") from error
    require_csrf(session, told)
    return session


def set_cookie(
    request: web.Request, answer: web.StreamResponse, cookie: bytes, *, trusted: Sequence[Network]
) -> None:
    """Put it into the browser: for this host alone, read by no script, sent with no other page's request."""
    answer.set_cookie(
        COOKIE,
        encode_bytes(cookie),
        max_age=SESSION_SECONDS,
        path=_PATH,
        httponly=True,
        samesite="Strict",
        secure=request.secure or forwarded_scheme(request, trusted) == "https",
    )


def drop_cookie(answer: web.StreamResponse) -> None:
    """Take it out of the browser."""
    answer.del_cookie(COOKIE, path=_PATH, httponly=True, samesite="Strict")
