"""Errors as RFC 9457 problem documents. Says what the error says of itself, and nothing of the request."""

from http import HTTPStatus

from aiohttp import web

from relay.wire.errors import RelayError, Unauthenticated
from relay.wire.resources import Problem


def problem(error: RelayError, request_id: str, *, status: int | None = None) -> web.Response:
    """RFC 9457 problem document of the error."""
    status = error.http_status if status is None else status
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Checksum Mismatch"  # 460 is of tus, not of the registry
    body = Problem(
        type=f"urn:tokenim:error:{error.code}",
        title=title,
        status=status,
        code=error.code,
        detail=str(error),
        retryable=error.retryable,
        request_id=request_id,
    )
    answer = web.Response(
        body=body.model_dump_json().encode(),
        status=status,
        reason=title,
        content_type="application/problem+json",
    )
    if error.retry_after_ms > 0:
        answer.headers["Retry-After"] = str(-(-error.retry_after_ms // 1_000))
    if isinstance(error, Unauthenticated):
        answer.headers["WWW-Authenticate"] = "TokenIM-Ed25519"
    return answer
