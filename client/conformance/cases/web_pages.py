"""Chapter Authentication, "Web pages": what a browser is told of pages of other origins (CORS)."""

from client.conformance.device import Answer, ask
from client.conformance.relay import Relay
from client.conformance.report import Failed, NotClaimed
from client.conformance.socket import silent
from client.conformance.wire import CHALLENGE

from .suite import SUITE

_ANOTHER = "https://somewhere-else.example"
_PATH = "/v1/delivery-tokens"
_TAKES = ("authorization", "content-type")
_READABLE = (
    *("date", "retry-after", "tokenim-request-id", "tokenim-signature"),
    *("tus-resumable", "upload-offset", "location"),
)


async def _preflight(relay: Relay, origin: str, path: str = _PATH, method: str = "POST") -> Answer:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ", ".join(_TAKES),
    }
    return await ask(relay.session, "OPTIONS", relay.origin + path, headers=headers)


def _listed(answer: Answer, name: str) -> set[str]:
    return {one.strip().lower() for one in answer.headers.get(name, "").split(",")}


def _allows(answer: Answer, origin: str) -> bool:
    """Whether a browser lets a page of this origin read the answer; raises Failed where it may send credentials."""
    if answer.headers.get("Access-Control-Allow-Credentials", "").lower() == "true":
        raise Failed(f"{answer.asked} with Origin {origin}: expected that credentials are not allowed")
    return answer.headers.get("Access-Control-Allow-Origin") in (origin, "*")


@SUITE.case("web-pages-of-another-origin")
async def another(relay: Relay) -> None:
    """Pages of an origin that the operator did not name are not allowed to ask, nor to read an answer."""
    for answer in (
        await _preflight(relay, _ANOTHER),
        await _preflight(relay, _ANOTHER, "/v1/envelopes"),
        (await relay.get("/.well-known/tokenim", Origin=_ANOTHER)).must(200),
        (await relay.get("/v1/accounts/self", Origin=_ANOTHER)).must(401, "unauthenticated"),
    ):
        if _allows(answer, _ANOTHER):
            raise Failed(f"{answer.asked}: expected that pages of {_ANOTHER} are not allowed")


@SUITE.case("web-pages-of-a-named-origin")
async def named(relay: Relay) -> None:
    """Pages of the origin of --web-origin may ask and read, the headers of TokenIM and tus too, and open a WebSocket."""
    origin = relay.web_origin
    if not origin:
        raise NotClaimed("it needs --web-origin: an origin that the relay's operator named")
    for path, method in ((_PATH, "POST"), ("/v1/handle", "PUT"), ("/v1/blobs/" + "a" * 52, "PATCH")):
        answer = await _preflight(relay, origin, path, method)
        methods = _listed(answer, "Access-Control-Allow-Methods")
        missing = set(_TAKES) - _listed(answer, "Access-Control-Allow-Headers")
        if not 200 <= answer.status < 300 or not _allows(answer, origin):
            raise Failed(f"{answer.asked}: expected that {origin} may ask, got {answer.status}")
        if method.lower() not in methods or missing:
            raise Failed(
                f"{answer.asked}: expected {method} and {_TAKES} to be allowed, got {answer.headers}"
            )
    for answer in (
        (await relay.get("/.well-known/tokenim", Origin=origin)).must(200),
        (await relay.get("/v1/accounts/self", Origin=origin)).must(401, "unauthenticated"),
    ):
        hidden = set(_READABLE) - _listed(answer, "Access-Control-Expose-Headers")
        if not _allows(answer, origin) or hidden:
            raise Failed(f"{answer.asked}: expected that {origin} may read it, with {sorted(hidden)}")
    async with silent(relay.stranger(), origin=origin) as socket:
        await socket.expect(CHALLENGE)
