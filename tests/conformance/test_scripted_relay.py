"""The scripted relay of the client half refuses what a real relay refuses, and tells it as the client's fault."""

import asyncio
import json
import os
import re

import aiohttp
import msgspec
import pytest
from nacl.signing import SigningKey

from client.conformance.client_suite.bodies import BODIES, QUERIES, check_frame
from client.conformance.client_suite.doors import Doors
from client.conformance.client_suite.house import House
from client.conformance.client_suite.limits import LIMITS, digest
from client.conformance.report import Failed
from client.conformance.wire import sha256, to_base32, to_base64, transcript, u64
from relay.wire import limits
from tests.conformance.mutate import ROOT

DEVICE, SIGNING = bytes(range(16)), SigningKey(bytes(32))


class Relay:
    """A scripted relay with one account, and its device that signs."""

    def __init__(self, server, house, root):
        self.house, self.root = house, root
        self.url = house.origin = str(server.make_url("")).rstrip("/")
        self.account = house.register(
            {"manifest": self.manifest(1, None), "invite": to_base64(house.secret), "handle": "ann"}
            | {"public_token": to_base64(bytes(16))}
        )

    def manifest(self, version, previous, signer=None):
        account_id = sha256(b"\x01" + bytes(self.root.verify_key))
        keys = bytes(SIGNING.verify_key), b"\x05" * 32
        signature = SIGNING.sign(transcript("tokenim/v1 device", account_id, DEVICE, *keys)).signature
        device = DEVICE + b"".join(keys) + b"\x01" + u64(1) + signature
        body = transcript("tokenim/v1 manifest", bytes(self.root.verify_key), u64(version), previous, device)
        key = SIGNING if signer else self.root
        return {
            "body": to_base64(body),
            "signer": to_base64(signer or b""),
            "signature": to_base64(key.sign(body).signature),
        }

    async def ask(self, method, path, body=None, *, signed=True, **headers):
        """Status and JSON of the answer, if it has any."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if data:
            headers = {"Content-Type": "application/json", **headers}
        if signed:
            time, nonce = self.house.now_ms, os.urandom(16)
            fields = (method.encode(), path.encode(), sha256(data), self.url.encode(), DEVICE)
            by = SIGNING.sign(
                transcript("tokenim/v1 http-request", *fields, u64(time), nonce, None)
            ).signature
            headers["Authorization"] = (
                f'TokenIM-Ed25519 device="{to_base32(DEVICE)}", time="{time}", nonce="{to_base64(nonce)}", '
                f'signature="{to_base64(by)}"'
            )
        async with aiohttp.ClientSession() as session:
            request = session.request(method, self.url + path, data=data or None, headers=headers)
            async with request as response:
                said = await response.read()
                return response.status, json.loads(said) if said else None


@pytest.fixture
async def relay(aiohttp_server):
    house = House()
    return Relay(await aiohttp_server(Doors(house).application()), house, SigningKey(b"\x07" * 32))


TOKEN = {"token_hash": to_base64(bytes(32)), "token_class": "contact"}
ODD = {
    "an unknown field": ("POST", "/v1/delivery-tokens", {**TOKEN, "why": 1}, "has no field why"),
    "a field that is missing": (
        "POST",
        "/v1/delivery-tokens",
        {"token_class": "link"},
        "token_hash is missing",
    ),
    "another class": (
        "POST",
        "/v1/delivery-tokens",
        {**TOKEN, "token_class": "x"},
        "expected contact or group",
    ),
    "too few bytes": ("POST", "/v1/delivery-tokens", {**TOKEN, "token_hash": "AAAA"}, "base64url of 32"),
    "a number out of range": ("POST", "/v1/logs/history", {"index": -1, "entry": "AAAA"}, "a whole number"),
    "a number that is none": ("POST", "/v1/logs/history", {"index": True, "entry": "AAAA"}, "a whole number"),
    "too many": ("POST", "/v1/prekeys", {"keys": ["AAAA"] * 204}, "an array of 1 to 203"),
    "an empty entry": ("POST", "/v1/logs/history", {"index": 0, "entry": ""}, "base64url of 1"),
    "a list": ("POST", "/v1/prekeys", [], "a JSON object"),
    "no JSON": ("POST", "/v1/prekeys", b"{", "is no JSON"),
    "a body where none belongs": ("GET", "/v1/prekeys", {"a": 1}, "has no body"),
    "a name of a log": ("GET", "/v1/logs/History", None, "1 to 16 of a-z"),
    "another name in the query": ("GET", "/v1/logs/history?since=1", None, "has no since"),
    "a query that is no number": ("GET", "/v1/logs/history?from=x", None, "the query's from"),
    "a query twice": ("GET", "/v1/logs/history?from=1&from=2", None, "twice"),
    "no path of the document": ("GET", "/v1/everything", None, "no such path"),
    "no method of the document": ("PUT", "/v1/prekeys", None, "no such path"),
}


@pytest.mark.parametrize(("method", "path", "body", "why"), ODD.values(), ids=ODD)
async def test_what_the_document_does_not_have_is_a_breach(relay, method, path, body, why):
    status, problem = await relay.ask(method, path, body)
    assert (status, problem["code"]) == (400, "malformed_request")
    (breach,) = relay.house.broken
    assert why in breach


async def test_another_media_type_and_a_compressed_body_are_breaches(relay):
    for headers, why in (
        ({"Content-Type": "text/plain"}, "the body is application/json, and came as text/plain"),
        ({"Content-Encoding": "identity"}, "compressed"),
    ):
        relay.house.broken.clear()
        await relay.ask("POST", "/v1/delivery-tokens", TOKEN, **headers)
        assert [why in one for one in relay.house.broken] == [True]


async def test_what_the_document_has_and_no_case_needs_is_not_there_and_no_breach(relay):
    assert (await relay.ask("GET", "/v1/accounts/self/export"))[0] == 404
    assert relay.house.broken == []


async def test_a_defect_in_a_door_is_told_as_one_of_the_kit(relay):
    relay.account.tokens = None
    assert (await relay.ask("GET", "/v1/delivery-tokens"))[1]["code"] == "internal"
    (breach,) = relay.house.broken
    assert breach.startswith(
        "the conformance kit's relay itself failed at GET /v1/delivery-tokens: AttributeError"
    )


async def test_handles_tokens_profiles_logs_and_push_are_kept_as_the_document_says(relay):
    house = relay.house
    hashed = to_base64(sha256(b"t" * 16))
    assert (await relay.ask("PUT", "/v1/handle", {"handle": "anna", "public_token": to_base64(b"p" * 16)}))[
        0
    ] == 204
    assert house.handles == {"anna": relay.account}
    assert house.token_class(relay.account, bytes(16)) is None
    assert house.token_class(relay.account, b"p" * 16) == "public"
    assert (await relay.ask("GET", "/v1/handles/anna"))[1]["version"] == 2
    assert (await relay.ask("PUT", "/v1/handle", {"handle": "-"}))[1]["code"] == "handle_invalid"
    assert (await relay.ask("DELETE", "/v1/handle"))[0] == 204
    assert (await relay.ask("GET", "/v1/handles/anna"))[0] == 403
    await relay.ask("POST", "/v1/delivery-tokens", {"token_hash": hashed, "token_class": "group"})
    assert house.token_class(relay.account, b"t" * 16) == "group"
    await relay.ask(
        "POST", "/v1/delivery-tokens", {"token_hash": hashed, "token_class": "group", "expires_at_ms": 1}
    )
    assert house.token_class(relay.account, b"t" * 16) is None
    assert (await relay.ask("DELETE", f"/v1/delivery-tokens/{hashed}"))[0] == 204
    assert (await relay.ask("DELETE", f"/v1/delivery-tokens/{hashed}"))[0] == 404
    profile = {"version": 2, "profile": "AAAA"}
    assert (await relay.ask("PUT", "/v1/profile", profile))[0] == 204
    assert (await relay.ask("PUT", "/v1/profile", {**profile, "version": 1}))[1]["code"] == "conflict"
    own = to_base32(relay.account.manifest.account_id)
    assert (await relay.ask("GET", f"/v1/accounts/{own}/profile"))[1] == profile
    for index in (0, 1, 2):
        await relay.ask("POST", "/v1/logs/history", {"index": index, "entry": "AAAA"})
    assert (await relay.ask("POST", "/v1/logs/history", {"index": 1, "entry": "AAAB"}))[1][
        "code"
    ] == "conflict"
    assert (await relay.ask("DELETE", "/v1/logs/history?before=2"))[0] == 204
    told = (await relay.ask("GET", "/v1/logs/history?from=0"))[1]
    assert ([one["index"] for one in told["entries"]], told["first_index"], told["next_index"]) == ([2], 2, 3)
    push = {"kind": "webhook", "target": "https://push.example"}
    assert (await relay.ask("PUT", "/v1/push", push))[0] == 400
    house.push_kinds.append("webhook")
    assert len((await relay.ask("PUT", "/v1/push", push))[1]["token"]) == 22
    assert house.broken == []


async def test_later_manifests_follow_and_show_in_all_answers(relay):
    first = sha256(relay.account.manifest.body)
    second = relay.manifest(2, first, DEVICE)
    for _ in range(2):
        assert (await relay.ask("POST", "/v1/accounts/self/manifests", {"manifest": second}))[1][
            "manifest_version"
        ] == 2
    own = to_base32(relay.account.manifest.account_id)
    told = (await relay.ask("GET", f"/v1/accounts/{own}/manifests?from=2"))[1]
    assert (told["manifests"], told["latest"]) == ([second], 2)
    late = relay.manifest(2, b"x" * 32)
    assert (await relay.ask("POST", f"/v1/accounts/{own}/manifests", {"manifest": late}, signed=False))[
        0
    ] == 409
    assert relay.house.broken == []
    unsigned = {**relay.manifest(3, sha256(relay.account.manifest.body)), "signature": to_base64(bytes(64))}
    await relay.ask("POST", "/v1/accounts/self/manifests", {"manifest": unsigned})
    assert "a later manifest: the signature is not by its key" in relay.house.broken[0]


async def test_an_envelope_over_http_waits_in_the_mailbox_until_it_is_acknowledged(relay):
    own = to_base64(relay.account.manifest.account_id)
    envelope = {
        "envelope_id": to_base64(bytes(16)),
        "envelope_class": 1,
        "ttl_seconds": 60,
        "ciphertexts": [to_base64(bytes(256))],
        "targets": [{"device_id": to_base64(DEVICE), "ciphertext": 0, "grant": 0}],
        "grants": [{"account_id": own, "token": "", "manifest_version": 0}],
    }
    polled = asyncio.create_task(relay.ask("GET", "/v1/mailbox?after=0&wait_seconds=30"))
    told = (await relay.ask("POST", "/v1/envelopes", envelope))[1]
    assert told == {"outcomes": [1], "manifest_behind": [{"account_id": own, "version": 1}]}
    status, mailbox = await polled
    assert (status, [one["sequence"] for one in mailbox["envelopes"]], mailbox["more"]) == (200, [1], False)
    assert (await relay.ask("POST", "/v1/mailbox/ack", {"up_to": 1}))[0] == 204
    assert relay.account.mailbox.waiting == {}
    assert relay.house.broken == []
    await relay.ask("POST", "/v1/mailbox/ack", {"up_to": 2})
    await relay.ask("POST", "/v1/envelopes", {**envelope, "ttl_seconds": 0})
    await relay.ask(
        "POST", "/v1/envelopes", {**envelope, "targets": [{**envelope["targets"][0], "grant": 1}]}
    )
    assert [
        why in one
        for one, why in zip(relay.house.broken, ("above what was", "ttl_", "points at"), strict=True)
    ] == [True] * 3


async def test_the_newest_reader_has_the_mailbox_and_ready_tells_the_limits(relay):
    async def taken(session):
        socket = await session.ws_connect(f"{relay.url}/v1/connect", protocols=("tokenim.v1",))
        ((_, challenge, _time),) = msgspec.msgpack.decode(await socket.receive_bytes())
        signed = transcript("tokenim/v1 websocket", relay.url.encode(), DEVICE, challenge)
        await socket.send_bytes(msgspec.msgpack.encode([[4, DEVICE, SIGNING.sign(signed).signature]]))
        ready = msgspec.msgpack.decode(await socket.receive_bytes())
        await socket.send_bytes(msgspec.msgpack.encode([[3, 0]]))
        return socket, ready, msgspec.msgpack.decode(await socket.receive_bytes())

    async with aiohttp.ClientSession() as session:
        first, ready, caught_up = await taken(session)
        assert (ready, caught_up) == ([[17, digest(LIMITS), 1]], [[12, 0]])
        second, _, _ = await taken(session)
        assert msgspec.msgpack.decode(await first.receive_bytes()) == [[14, 0, "replaced", 0]]
        assert (await first.receive()).data == 4001
        await second.send_bytes(msgspec.msgpack.encode([[2, -1]]))
        assert msgspec.msgpack.decode(await second.receive_bytes()) == [[14, 0, "malformed_frame", 0]]
        await second.close()
    assert relay.house.broken[0].startswith("WebSocket: no frame of a client has this shape: ack(-1)")


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        (
            1,
            [2**32, bytes(16), 1, False, 60, [b"x"], [[bytes(16), 0, 0]], [[bytes(32), b"", 0]]],
            "request_id",
        ),
        (
            1,
            [1, bytes(16), 3, False, 60, [b"x"], [[bytes(16), 0, 0]], [[bytes(32), b"", 0]]],
            "envelope_class",
        ),
        (1, [1, bytes(16), 1, 0, 60, [b"x"], [[bytes(16), 0, 0]], [[bytes(32), b"", 0]]], "urgent"),
        (1, [1, bytes(16), 1, False, 60, [], [[bytes(16), 0, 0]], [[bytes(32), b"", 0]]], "ciphertexts"),
        (
            1,
            [1, bytes(16), 1, False, 60, [b"x"], [[bytes(15), 0, 0]], [[bytes(32), b"", 0]]],
            r"targets\[0\].device_id",
        ),
        (2, [0, list(range(257))], "also"),
        (3, [2**63], "after"),
        (4, [bytes(16), bytes(63)], "signature"),
        (5, [1], "fields"),
        (10, [1, []], "no frame of a client has the type 10"),
    ],
)
def test_a_frame_out_of_its_ranges_is_a_breach(kind, fields, why):
    with pytest.raises(Failed, match=why):
        check_frame(kind, fields)


def test_the_kit_has_every_limit_and_every_body_of_the_document():
    assert {**limits.ADVERTISED, "public_work_bits": LIMITS["public_work_bits"]} == LIMITS
    assert digest(dict(limits.ADVERTISED)) == limits.limits_digest(dict(limits.ADVERTISED))
    document = (ROOT / "docs/protocol.md").read_text()
    played = {re.sub(r"\{\w+\}", "{}", door) for door in (*BODIES, *QUERIES)}
    asked = {
        re.sub(r"\{\w+\}", "{}", found[1])
        for found in re.finditer(
            r"^\| `([A-Z]+ /v1/[^`?]*)(?:\?[^`]*)?` \| [^|]* \| \[\w+_request\]", document, re.MULTILINE
        )
    }
    assert asked - played == {"POST /v1/invites", "POST /v1/recovery"}
