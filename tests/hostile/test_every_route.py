"""Every row of the route table, asked without right, sense or shape: a documented refusal, the same skin on each."""

import gzip
import re

import pytest

from relay.composition import flow_of
from relay.testing import open_test_relay
from relay.web.call import Signing
from relay.web.routes import ROUTES
from relay.web.server import make_application
from relay.wire.errors import every_error

CODES = {error.code: error.http_status for error in every_error()}
NEVER_BODY = {"GET", "HEAD", "OPTIONS", "DELETE"}


def name_of_route(route):
    return f"{route.method} {route.path}"


def filled(path):
    """The path with something in each of its places that is of no account, handle, token or blob."""
    return re.sub(r"{\w+}", "a" * 52, path)


@pytest.fixture
async def http(aiohttp_client):
    async with open_test_relay() as relay:
        yield await aiohttp_client(make_application(relay.services, flow_of(relay.services)))


async def assert_refused(answer, *codes):
    """A problem document with one of these codes, and nothing that could be cached, sniffed or framed."""
    if answer.method != "HEAD":
        problem = await answer.json()
        assert answer.content_type == "application/problem+json"
        assert problem["code"] in codes, problem
        assert problem["status"] == answer.status == CODES[problem["code"]]
        assert problem["type"] == f"urn:tokenim:error:{problem['code']}"
        assert problem["request_id"] == answer.headers["TokenIM-Request-Id"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "route", [row for row in ROUTES if row.signing in (Signing.REQUIRED, Signing.STREAMED)], ids=name_of_route
)
async def test_a_signed_route_without_a_signature_says_only_that(http, route):
    answer = await http.request(
        route.method, filled(route.path), data=b"" if route.method in NEVER_BODY else b"{}"
    )
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "TokenIM-Ed25519"
    await assert_refused(answer, "unauthenticated")


@pytest.mark.parametrize("route", ROUTES, ids=name_of_route)
async def test_f15_a_compressed_body_is_refused_unread(http, route):
    bomb = gzip.compress(bytes(10_000_000))
    answer = await http.request(
        route.method, filled(route.path), data=bomb, headers={"Content-Encoding": "gzip"}
    )
    assert answer.status == 415
    await assert_refused(answer, "unsupported_media")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"unknown": 1}', b"\xff\xfe", b'{"a":' * 20_000, b'{"invite": 7}']
)
@pytest.mark.parametrize(
    "route", [row for row in ROUTES if row.request and row.signing is not Signing.REQUIRED], ids=name_of_route
)
async def test_e1_a_body_that_is_no_model_is_a_malformed_request(http, route, body):
    answer = await http.request(
        route.method, filled(route.path), data=body, headers={"Content-Type": "application/json"}
    )
    await assert_refused(answer, "malformed_request")
    assert b"unknown" not in body or "1}" not in await answer.text()


@pytest.mark.parametrize(
    "route", [row for row in ROUTES if row.request and row.signing is not Signing.REQUIRED], ids=name_of_route
)
async def test_a_body_of_another_type_is_refused(http, route):
    answer = await http.request(
        route.method, filled(route.path), data=b"<x/>", headers={"Content-Type": "text/xml"}
    )
    await assert_refused(answer, "unsupported_media")


async def test_a_path_that_is_none_and_a_method_that_does_not_fit(http):
    await assert_refused(await http.get("/v1/nothing"), "not_found")
    answer = await http.delete("/health")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]


async def test_the_description_names_every_route_and_no_other(http):
    description = await (await http.get("/v1/openapi.json")).json()
    described = {(method.upper(), path) for path, item in description["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in ROUTES}
