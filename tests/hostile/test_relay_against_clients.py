"""A server that is no relay, or none of this protocol: each answer that does not fit is refused, by name.

What a real relay can do by changing its answers is in test_malicious_relay.py.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import web

from client.account import Account
from client.connection import open_connection
from client.errors import (
    DevicesRefused,
    Refused,
    RelayMisbehaved,
    RelayUnreachable,
    Replaced,
)
from client.first_contact import Missing, fetch
from client.transport import Transport
from client.trust import believe, fetch_chain
from crypto.manifest import SignedManifest, build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from relay.wire import codec
from relay.wire.frames import Challenge, Ready
from relay.wire.links import encode_bytes
from relay.wire.manifests import SignedManifest as WireManifest
from relay.wire.resources import Inclusion, ManifestObject, ManifestsAnswer
from tests.client_pair import open_pair
from tests.lying_relay import MACHINE, lying_relay, person, refused


def next_manifest(account: Account, *, added_at_ms: int, by: Account | None = None) -> SignedManifest:
    """Version 2, signed by the account's device (or by a stranger's)."""
    own, signer = account.own, by or account
    entry = device_entry(account.local, added_at_ms=added_at_ms, manager=True)
    body = build_manifest(own.manifest.root_public, own.version + 1, own.hash, [entry])
    return sign_manifest(body, signer.local.signing, signer.device_id)


def longer(account: Account, *more: SignedManifest) -> VerifiedManifest:
    return verify_chain(account.account_id, account.own, more)


class Liar:
    """Answers for manifests with what the test says."""

    def __init__(self, *pages: tuple[list[SignedManifest], int]) -> None:
        self.pages = list(pages)
        self.asked: list[str] = []

    async def ask(self, method: str, target: str, **options: object) -> "Liar":
        self.asked.append(target)
        return self

    def read(self, model: type[ManifestsAnswer]) -> ManifestsAnswer:
        manifests, latest = self.pages.pop(0)
        objects = [ManifestObject.of(WireManifest(one.body, one.signer, one.signature)) for one in manifests]
        return model(manifests=objects, latest=latest, inclusion=Inclusion(head=b"", index=0, hashes=[]))


async def chain_from(liar: Liar, account: Account, known: VerifiedManifest | None) -> VerifiedManifest:
    return await fetch_chain(liar, account.account_id, bytes(16), known)  # type: ignore[arg-type]


async def test_a_chain_comes_in_pages_and_from_the_version_that_is_known():
    account = person()
    second = next_manifest(account, added_at_ms=1)
    liar = Liar(([account.own.newest], 2), ([second], 2))
    assert (await chain_from(liar, account, None)).version == 2
    assert [target.rpartition("=")[2] for target in liar.asked] == ["1", "2"]
    liar = Liar(([second], 2))
    assert (await chain_from(liar, account, longer(account, second))).version == 2
    assert liar.asked[0].endswith("from=2")


@pytest.mark.proves("M-IDENT-05")
async def test_a_rollback_is_ignored():
    account = person()
    known = longer(account, next_manifest(account, added_at_ms=1))
    assert await chain_from(Liar(([account.own.newest], 1)), account, known) is known
    assert await chain_from(Liar(([], 0)), account, known) is known


async def test_a_relay_that_promises_more_than_it_gives_ends():
    account = person()
    liar = Liar(*[([account.own.newest], 9)] * 5)
    with pytest.raises(RelayMisbehaved, match="does not prove the newest"):
        await chain_from(liar, account, None)
    assert len(liar.pages) == 3
    with pytest.raises(RelayMisbehaved):
        await chain_from(Liar(([], 1)), account, None)


async def test_a_relay_that_gives_more_than_it_says_there_is_is_not_believed():
    account = person()
    second = next_manifest(account, added_at_ms=1)
    for known in (None, account.own):
        with pytest.raises(RelayMisbehaved, match="does not prove the newest"):
            await chain_from(Liar(([account.own.newest, second], 1)), account, known)


@pytest.mark.parametrize("lie", ["a version left out", "a changed byte"])
async def test_a_device_list_that_breaks_its_chain_is_refused(lie):
    account = person()
    if lie == "a version left out":
        second = longer(account, next_manifest(account, added_at_ms=1))
        pages = [account.own.newest, next_manifest(account.with_chain(second), added_at_ms=2)]
    else:
        good = account.own.newest
        pages = [replace(good, body=good.body[:-1] + bytes((good.body[-1] ^ 1,)))]
    for known in (None, account.own):
        with pytest.raises(DevicesRefused):
            believe(account.account_id, known, pages)


# Answers over HTTP and WebSocket that are not of the protocol.

Handler = Callable[[web.Request], "asyncio.Future[web.StreamResponse]"]


async def test_a_refusal_is_told_with_the_relays_code_and_its_wait():
    async def handler(request: web.Request) -> web.Response:
        return refused(429, "rate_limited", **{"Retry-After": "7"})

    async with lying_relay(handler) as transport:
        with pytest.raises(Refused, match="rate_limited") as raised:
            await transport.ask("GET", "/v1/prekeys", signed=True)
        assert raised.value.retry_after_ms == 7_000


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda: web.Response(text="<html>", status=502), RelayUnreachable),
        (lambda: web.Response(text="<html>", status=404), Refused),
        (lambda: web.Response(text="{}", status=200), RelayMisbehaved),
        (lambda: web.Response(text="[" * 10_000, status=200), RelayMisbehaved),
        (lambda: web.Response(body=b"\xff\xfe", status=200), RelayMisbehaved),
        (lambda: web.Response(body=bytes(5_000_000), status=200), RelayMisbehaved),
        (lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), RelayMisbehaved),
    ],
)
async def test_what_is_no_answer_of_a_relay_is_said_to_be_none(answer, error):
    async def handler(request: web.Request) -> web.StreamResponse:
        return answer()

    async with lying_relay(handler) as transport:
        with pytest.raises(error):
            (await transport.ask("GET", "/v1/x")).read(ManifestsAnswer)


async def test_a_clock_is_shifted_once_and_not_for_ever():
    seen: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(int(request.headers["Authorization"].partition('time="')[2].partition('"')[0]))
        return refused(401, "unauthenticated", Date="Fri, 01 Jan 2100 00:00:00 GMT")

    async with lying_relay(handler) as transport:
        with pytest.raises(Refused, match="unauthenticated"):
            await transport.ask("GET", "/v1/prekeys", signed=True)
        assert len(seen) == 2
        assert abs(seen[1] - 4_102_444_800_000) < 60_000
        with pytest.raises(Refused):
            await transport.ask("GET", "/v1/prekeys", signed=True)
        assert len(seen) == 3  # that difference is known by now


async def test_requests_under_way_while_the_clock_is_shifted_are_tried_again_too():
    both_refused = asyncio.Barrier(2)
    asked: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(int(request.headers["Authorization"].partition('time="')[2].partition('"')[0]))
        if len(asked) <= 2:
            await both_refused.wait()
            return refused(401, "unauthenticated", Date="Fri, 01 Jan 2100 00:00:00 GMT")
        return web.Response(text="{}")

    async with lying_relay(handler) as transport:
        await asyncio.gather(*(transport.ask("GET", "/v1/prekeys", signed=True) for _ in range(2)))
    assert len(asked) == 4


async def test_signed_and_anonymous_requests_share_no_connection_and_no_cookie():
    peers: dict[bool, set[object]] = {True: set(), False: set()}
    cookies = []

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers["Authorization" in request.headers].add(request.transport.get_extra_info("peername"))
        cookies.append(request.headers.get("Cookie"))
        return web.Response(text="{}", headers={"Set-Cookie": "follow=me"})

    async with lying_relay(handler) as transport:
        for signed in (True, False, True, False):
            await transport.ask("GET", "/v1/x", signed=signed)
    assert len(peers[True]) == len(peers[False]) == 1
    assert not peers[True] & peers[False]
    assert set(cookies) == {None}


@pytest.mark.parametrize(
    ("first", "error"),
    [
        (b"\x90", RelayMisbehaved),
        (b"\xc1", RelayMisbehaved),
        (codec.encode_message([Ready(bytes(32), 0)]), RelayMisbehaved),
        ("text", RelayMisbehaved),
        (4001, Replaced),
        (4002, Refused),
        (1012, RelayUnreachable),
        (1006, RelayUnreachable),
    ],
)
async def test_a_websocket_that_does_not_begin_as_it_should(first, error):
    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(codec.SUBPROTOCOL,))
        await socket.prepare(request)
        if isinstance(first, bytes):
            await socket.send_bytes(first)
        elif isinstance(first, str):
            await socket.send_str(first)
        elif first == 1006:
            assert request.transport is not None
            request.transport.abort()
        else:
            await socket.close(code=first)
        await socket.receive()
        return socket

    async with lying_relay(handler) as transport:
        with pytest.raises(error):
            async with open_connection(transport, None):
                pass


async def test_a_websocket_of_another_protocol_is_none_of_ours():
    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(codec.encode_message([Challenge(bytes(32), 0)]))
        await socket.receive()
        return socket

    async with lying_relay(handler) as transport:
        with pytest.raises(RelayMisbehaved, match=codec.SUBPROTOCOL):
            async with open_connection(transport, None):
                pass


async def test_nobody_there_is_unreachable():
    async with Transport("http://127.0.0.1:1", MACHINE) as transport:
        with pytest.raises(RelayUnreachable):
            await transport.ask("GET", "/health")
        with pytest.raises(RelayUnreachable):
            async with open_connection(transport, None):
                pass


async def test_b7_keys_that_were_not_asked_for_are_not_taken(tmp_path):
    async with open_pair(tmp_path) as (alice, bob):
        bundle = await bob.bundle()
        assert bundle.one_time is not None
        keys = {
            "signed_prekey": encode_bytes(bundle.signed.encode()),
            "kem_prekey": encode_bytes(bundle.kem.encode()),
            "one_time_prekey": encode_bytes(bundle.one_time.encode()),
            "sealing_key": encode_bytes(bundle.sealing.encode()),
        }
        wanted = bob.account.device_id

        async def handler(request: web.Request) -> web.Response:
            devices = [bytes(16), wanted]
            return web.json_response(
                {
                    "manifest_version": 1,
                    "bundles": [{"device_id": encode_bytes(one), **keys} for one in devices],
                }
            )

        async with lying_relay(handler) as transport:
            missing = Missing(bob.id, devices=(wanted,))
            fetched = await fetch(transport, alice.database, alice.account, alice.system, missing)
            assert set(fetched.bundles) == {wanted}
            keys["sealing_key"] = keys["signed_prekey"]
            with pytest.raises(DevicesRefused):
                await fetch(transport, alice.database, alice.account, alice.system, missing)
