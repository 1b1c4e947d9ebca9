"""One HTTP request as a handler sees it: who asks, the capped body, the model in it; and the row of a route.

A handler is `async (Call) -> StreamResponse`, thin: it reads a model, calls one service, answers a model.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from relay.ports.clock import Clock
from relay.services.devices import KnownDevice
from relay.services.roles import Operation
from relay.services.services import Services
from relay.session.proof import parse_authorization
from relay.wire import limits
from relay.wire.errors import MalformedRequest, NotFound, TooLarge, Unauthenticated, UnsupportedMedia
from relay.wire.links import decode_bytes, decode_id
from relay.wire.resources import Answer, Request
from relay.wire.transcripts import STREAMED

SERVICES: Final = web.AppKey("services", Services)
REQUEST_ID: Final = web.RequestKey("request_id", str)
BODY_WITHIN_SECONDS: Final = 30
OCTETS: Final = "application/octet-stream"
LOG_TOKEN_HEADER: Final = "TokenIM-Log-Token"  # noqa: S105
TOKEN_HEADER: Final = "TokenIM-Delivery-Token"  # noqa: S105 (a header's name)

Model = TypeVar("Model", bound=Request)


class Signing(Enum):
    """Whether a route's requests are signed."""

    NONE = "none"
    OPTIONAL = "optional"  # anonymous with a delivery token, or signed
    REQUIRED = "required"
    STREAMED = "streamed"  # the body is not read before; the word `streamed` and Upload-Offset are signed


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed the skin: `body` is whole (empty if streamed), `device` has proved itself."""

    request: web.Request
    services: Services
    device: KnownDevice | None
    body: bytes

    @property
    def signer(self) -> KnownDevice:
        """The device of a signed route."""
        if self.device is None:
            raise Unauthenticated
        return self.device

    def require(self, operation: Operation) -> None:
        """Raise NotAllowed unless who signed may do this."""
        self.services.roles.require(self.signer, operation)

    def read(self, model: type[Model]) -> Model:
        """The body as `model`; raises MalformedRequest that names the fields, never their values."""
        if self.request.content_type != "application/json":
            raise UnsupportedMedia("the body is application/json")
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            raise MalformedRequest(_told(error)) from error

    def path_id(self, name: str, length: int) -> bytes:
        """An id of `length` bytes in the path, base32; raises NotFound."""
        try:
            return decode_id(self.request.match_info[name], length)
        except ValueError as error:
            raise NotFound from error

    def path_bytes(self, name: str, length: int) -> bytes:
        """`length` bytes in the path, base64url; raises NotFound."""
        try:
            data = decode_bytes(self.request.match_info[name])
        except ValueError as error:
            raise NotFound from error
        if len(data) != length:
            raise NotFound
        return data

    def query_int(self, name: str, default: int, *, least: int = 0, most: int = 2**53) -> int:
        """A whole number in the query; raises MalformedRequest."""
        values = self.request.query.getall(name, [])
        if not values:
            return default
        text = values[0]
        if len(values) > 1 or not (
            text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most
        ):
            raise MalformedRequest(f"the query's {name} is one whole number from {least} to {most}")
        return int(text)

    def delivery_token(self) -> bytes | None:
        """The token in the header TokenIM-Delivery-Token, if there is one; raises MalformedRequest."""
        return self._token(TOKEN_HEADER, limits.DELIVERY_TOKEN_BYTES)

    def log_token(self) -> bytes | None:
        """The read token in the header TokenIM-Log-Token, if there is one; raises MalformedRequest."""
        return self._token(LOG_TOKEN_HEADER, limits.LOG_READ_TOKEN_BYTES)

    def _token(self, header: str, length: int) -> bytes | None:
        text = self.request.headers.get(header)
        if text is None:
            return None
        try:
            token = decode_bytes(text)
        except ValueError as error:
            raise MalformedRequest(f"{header} is unpadded base64url") from error
        if len(token) != length:
            raise MalformedRequest(f"{header} is of {length} bytes")
        return token


Handler: TypeAlias = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the API: what the router and `/v1/openapi.json` are made from."""

    method: str
    path: str
    handler: Handler
    signing: Signing
    summary: str
    request: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: int = 200
    also: tuple[int, ...] = ()  # other good answers, without a body
    query: tuple[str, ...] = ()
    request_headers: tuple[str, ...] = ()
    request_media: str | None = None
    answer_media: str | None = None


def _told(error: ValidationError) -> str:
    """Which fields do not fit, and why; no value of the request and no name that it made up."""
    rows = error.errors(include_url=False, include_context=False, include_input=False)
    kinds = {"extra_forbidden": "a field is unknown", "json_invalid": "the body is not JSON"}
    row = rows[0]
    if row["type"] in kinds:
        return kinds[row["type"]]
    where = ".".join(str(part) for part in row["loc"])
    return f"{where}: {row['msg']}" if where else str(row["msg"])


def answer(model: Answer, *, status: int = 200) -> web.Response:
    """The model as JSON."""
    return web.Response(body=model.model_dump_json().encode(), status=status, content_type="application/json")


def nothing() -> web.Response:
    """204."""
    return web.Response(status=204)


async def read_body(request: web.Request, clock: Clock) -> bytes:
    """The whole body, never more than MAX_REQUEST_BODY_BYTES in memory; raises TooLarge, MalformedRequest."""
    if (request.content_length or 0) > limits.MAX_REQUEST_BODY_BYTES:
        raise TooLarge
    parts: list[bytes] = []
    size = 0
    try:
        async with clock.timeout(BODY_WITHIN_SECONDS):
            async for part in request.content.iter_any():
                size += len(part)
                if size > limits.MAX_REQUEST_BODY_BYTES:
                    raise TooLarge
                parts.append(part)
    except TimeoutError as error:
        raise MalformedRequest(f"the body did not come within {BODY_WITHIN_SECONDS} s") from error
    except web.RequestPayloadError as error:
        raise MalformedRequest("the body is not framed as its headers say") from error
    return b"".join(parts)


def upload_offset(request: web.Request) -> int | None:
    """The Upload-Offset header (tus 1.0.0), if there is one; raises MalformedRequest."""
    text = request.headers.get("Upload-Offset")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise MalformedRequest("Upload-Offset is a whole number of bytes")
    return int(text)


async def prove(
    request: web.Request, services: Services, signing: Signing, body: bytes
) -> KnownDevice | None:
    """The device that signed, None where nobody has to; raises Unauthenticated."""
    headers = request.headers.getall("Authorization", [])
    if signing is Signing.NONE or (signing is Signing.OPTIONAL and not headers):
        return None
    if len(headers) != 1:
        raise Unauthenticated
    proof = parse_authorization(headers[0])
    streamed = signing is Signing.STREAMED
    return await services.devices.prove_request(
        proof,
        method=request.method,
        target=request.raw_path,
        body_hash=STREAMED if streamed else hashlib.sha256(body).digest(),
        upload_offset=upload_offset(request) if streamed else None,
    )


def serve(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An aiohttp handler for the route: body, proof and rate limits first, then the route's own."""

    async def handle(request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        body = b"" if route.signing is Signing.STREAMED else await read_body(request, services.clock)
        device = await prove(request, services, route.signing, body)
        if device is not None:
            services.rates.take_device(device.device_id)
        return await route.handler(Call(request, services, device, body))

    return handle
