"""Web pages: what a browser is told, and that no page of another origin comes unless the settings name it."""

import aiohttp
import pytest

from relay.web.cors import ALLOWED, EXPOSED
from relay.web.routes import ROUTES
from relay.wire.codec import SUBPROTOCOL
from tests.running_relay import World, open_world

PAGE, ANOTHER = "https://app.example", "https://evil.example"
DOCUMENT = "/.well-known/tokenim"


async def preflight(world: World, path: str, *, origin: str, method: str = "POST"):
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    async with world.session.options(world.relay.url + path, headers=headers) as answer:
        return answer


async def test_a_named_page_is_told_what_it_may_send_and_read():
    async with open_world(web_origins=[PAGE, "http://localhost:3000"]) as world:
        answer = await preflight(world, "/v1/accounts", origin=PAGE)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, PAGE)
        assert answer.headers["Access-Control-Allow-Methods"] == "POST"
        assert answer.headers["Access-Control-Allow-Headers"] == ALLOWED
        assert "Access-Control-Allow-Credentials" not in answer.headers
        vary = ", ".join(answer.headers.getall("Vary"))
        assert vary == "Access-Control-Request-Method, Access-Control-Request-Headers, Origin"

        blob = await preflight(world, f"/v1/blobs/{'a' * 52}", origin=PAGE, method="PATCH")
        assert blob.headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, PATCH"
        of_tus = await preflight(world, "/v1/blobs", origin=PAGE)  # OPTIONS there is of tus, too
        assert "POST" in of_tus.headers["Access-Control-Allow-Methods"]
        assert (await preflight(world, "/v1/nothing", origin=PAGE)).status == 404

        async with world.session.get(world.relay.url + DOCUMENT, headers={"Origin": PAGE}) as read:
            assert (read.status, read.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
            told = {*read.headers, "Cache-Control", "Content-Type"}
            exposed = set(read.headers["Access-Control-Expose-Headers"].split(", "))
            assert {"Date", "TokenIM-Request-Id", "TokenIM-Signature"} <= exposed & told
        # What is refused, a page may read as well.
        async with world.session.get(world.relay.url + "/v1/mailbox", headers={"Origin": PAGE}) as refused:
            assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, PAGE)


async def test_another_page_is_told_nothing():
    async with open_world(web_origins=[PAGE]) as world:
        for origin in (
            ANOTHER,
            PAGE + ":8443",
            "http://app.example",
            "null",
            "https://app.example.evil.example",
        ):
            answer = await preflight(world, "/v1/accounts", origin=origin)
            assert answer.status == 405
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "Access-Control-Allow-Methods" not in answer.headers
            assert "Origin" in answer.headers["Vary"]
        async with world.session.get(world.relay.url + DOCUMENT) as plain:
            assert plain.headers["Vary"] == "Origin"
            assert "Access-Control-Allow-Origin" not in plain.headers


async def test_without_the_setting_nothing_is_said_of_pages():
    async with open_world() as world:
        assert (await preflight(world, "/v1/accounts", origin=PAGE)).status == 405
        async with world.session.get(world.relay.url + DOCUMENT, headers={"Origin": PAGE}) as answer:
            assert [
                name for name in answer.headers if name.startswith("Access-Control") or name == "Vary"
            ] == []


async def connect(world: World, origin: str | None) -> None:
    async with world.session.ws_connect(
        f"{world.relay.url}/v1/connect", protocols=(SUBPROTOCOL,), origin=origin
    ) as socket:
        await socket.receive_bytes()


async def test_a_websocket_is_opened_by_named_pages_and_by_what_is_no_page():
    async with open_world(web_origins=[PAGE]) as world:
        for origin in (None, PAGE, world.relay.url):
            await connect(world, origin)
        for origin in (ANOTHER, "null"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await connect(world, origin)
            assert refused.value.status == 403
    async with open_world() as world:
        await connect(world, None)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await connect(world, PAGE)


def test_a_page_may_set_the_headers_that_routes_take():
    taken = {name for route in ROUTES for name in route.request_headers}
    assert set(ALLOWED.split(", ")) == {"Authorization", "Content-Type", *taken}
    assert ALLOWED.split(", ") == sorted(ALLOWED.split(", "))
    assert len(set(EXPOSED.split(", "))) == len(EXPOSED.split(", "))
