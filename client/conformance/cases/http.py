"""Chapters HTTP and Errors."""

import os

from client.conformance.device import ask
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.wire import sha256, to_base64

from .suite import SUITE

_DOCUMENT = "/.well-known/tokenim"


@SUITE.case("document-signed")
async def document(relay: Relay) -> None:
    """The relay's document names the origin and key of the invite, version 1, and its limits; it was signed by that key."""
    told = relay.document
    if told["origin"] != relay.origin or told["signing_key"] != to_base64(relay.invite.relay_key):
        raise Failed(
            f"expected origin and signing key of the invite, got {told['origin']}, {told['signing_key']}"
        )
    if "v1" not in told["versions"]:
        raise Failed(f"expected v1 among {told['versions']}")
    if told["registration"] not in ("invite", "open", "admin", "closed"):
        raise Failed(f"expected a policy that the document knows, got {told['registration']!r}")
    if not all(isinstance(value, int) for value in told["limits"].values()):
        raise Failed("expected whole numbers as limits")
    if (push := told.get("push")) is not None and not (
        all(isinstance(kind, str) for kind in push["kinds"]) and isinstance(push["vapid_key"], str)
    ):
        raise Failed(f"expected kinds and a key under push, got {push}")


@SUITE.case("http-unknown-field", proves=("M-HTTP-02",))
async def unknown_field(relay: Relay) -> None:
    """A body with a field that there is not, with one missing, or that is no JSON, is malformed_request."""
    device = await relay.member()
    good = {"token_hash": to_base64(sha256(os.urandom(16))), "token_class": "group"}
    path = "/v1/delivery-tokens"
    (await device.ask("POST", path, {**good, "more": 1})).must(400, "malformed_request")
    (await device.ask("POST", path, {"token_hash": good["token_hash"]})).must(400, "malformed_request")
    (await device.ask("POST", path, {**good, "token_class": "friends"})).must(400, "malformed_request")
    broken = await device.ask("POST", path, data=b"{", headers={"Content-Type": "application/json"})
    broken.must(400, "malformed_request")
    (await device.ask("POST", path, good)).must(204)


@SUITE.case("http-media-types", proves=("M-HTTP-01",))
async def media_types(relay: Relay) -> None:
    """Another content type, and any content encoding, is refused with 415."""
    device = await relay.member()
    path, data = "/v1/delivery-tokens", b"{}"
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ):
        (await device.ask("POST", path, data=data, headers=headers)).must(415, "unsupported_media")


@SUITE.case("http-no-such-resource")
async def not_found(relay: Relay) -> None:
    """A path that there is not is not_found with 404, a method that there is not with 405."""
    (await relay.get("/v1/nothing-here")).must(404, "not_found")
    (await ask(relay.session, "POST", relay.origin + _DOCUMENT)).must(405, "not_found")


@SUITE.case("http-problem-document")
async def problem(relay: Relay) -> None:
    """A refusal is a problem document (RFC 9457) with a stable code, and names the request as the header does."""
    answer = (await relay.get("/v1/accounts/self")).must(401, "unauthenticated")
    told = answer.json
    missing = {"type", "title", "status", "code", "detail", "request_id"} - told.keys()
    if missing or told["status"] != 401:
        raise Failed(
            f"{answer.asked}: expected all fields of a problem, {sorted(missing)} are missing in {told}"
        )
    if told["request_id"] != answer.headers.get("TokenIM-Request-Id"):
        raise Failed(f"{answer.asked}: expected the request id of the header, got {told['request_id']}")


@SUITE.case("http-body-too-large")
async def body_too_large(relay: Relay) -> None:
    """A body over max_request_body_bytes is too_large."""
    device = await relay.member()
    data = b" " * (relay.document["limits"]["max_request_body_bytes"] + 1)
    headers = {"Content-Type": "application/json"}
    (await device.ask("POST", "/v1/delivery-tokens", data=data, headers=headers)).must(413, "too_large")


@SUITE.case("http-ids-in-paths")
async def ids(relay: Relay) -> None:
    """An id in a path that is not canonical base32 is refused, not looked up."""
    device = await relay.member()
    headers = {"TokenIM-Delivery-Token": to_base64(device.token)}
    for account in (
        device.account.upper(),
        device.account[:-1],
        device.account + "a",
        device.account[:-1] + "1",
    ):
        answer = await relay.get(f"/v1/accounts/{account}/manifests?from=1", **headers)
        if answer.status == 200 or answer.status >= 500:
            raise Failed(f"{answer.asked}: expected a refusal, got {answer.status}")


@SUITE.case("http-own-data")
async def own_data(relay: Relay) -> None:
    """The own account's data come as one JSON object that says at its end that it is complete."""
    device = await relay.member()
    told = (await device.ask("GET", "/v1/accounts/self/export")).must(200).json
    if (
        told["format"] != "tokenim-account/1"
        or told["complete"] is not True
        or next(reversed(told)) != "complete"
    ):
        raise Failed("expected format tokenim-account/1, and complete as the last member")


@SUITE.case("http-health")
async def health(relay: Relay) -> None:
    """The relay says that it lives and that it is ready, to everybody."""
    for path in ("/health", "/ready"):
        if (answer := (await relay.get(path)).must(200)).json["status"] != "ok":
            raise Failed(f"{answer.asked}: expected ok, got {answer.json}")


@SUITE.case("http-openapi")
async def openapi(relay: Relay) -> None:
    """The relay describes its resources by OpenAPI 3.1, and its frames by AsyncAPI 3.0."""
    told = (await relay.get("/v1/openapi.json")).must(200).json
    methods = {
        (method, path)
        for path, item in told["paths"].items()
        for method, operation in item.items()
        if method in ("get", "put", "post", "patch", "delete") and operation["responses"]
    }
    wanted = {("post", "/v1/accounts"), ("post", "/v1/delivery-tokens"), ("post", "/v1/prekeys")}
    if not told["openapi"].startswith("3.1") or not told["info"]["version"] or wanted - methods:
        raise Failed("expected OpenAPI 3.1 with the operations on accounts, tokens and prekeys in it")
    frames = (await relay.get("/v1/asyncapi.json")).must(200).json
    messages = frames["components"]["messages"]
    if not frames["asyncapi"].startswith("3.") or not {"Submit", "Deliver", "Ack"} <= messages.keys():
        raise Failed("expected AsyncAPI 3 with the frames Submit, Deliver and Ack in it")
