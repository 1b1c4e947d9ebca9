"""The mailbox without a WebSocket: submit, long poll, acknowledge, quarantine by signed requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.wire import limits
from relay.wire.frames import CaughtUp, Deliver
from relay.wire.links import decode_bytes, encode_bytes
from tests.raw_device import JSON, Answered, RawDevice, send
from tests.raw_socket import anonymous, resumed, stored, submit_to
from tests.running_relay import World, open_world

TOKEN = bytes(range(16))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest.fixture
async def reader(world: World) -> RawDevice:
    device = await world.member()
    assert (await device.add_token(TOKEN)).status == 204
    return device


def body_of(
    device: RawDevice, token: bytes, *, envelope_id: bytes = bytes(16), **changed: Any
) -> dict[str, Any]:
    return {
        "envelope_id": encode_bytes(envelope_id),
        "envelope_class": 1,
        "ttl_seconds": 60,
        "ciphertexts": [encode_bytes(b"sealed")],
        "targets": [{"device_id": encode_bytes(device.device_id), "ciphertext": 0, "grant": 0}],
        "grants": [
            {
                "account_id": encode_bytes(device.account_id),
                "token": encode_bytes(token),
                "manifest_version": 1,
            }
        ],
        **changed,
    }


async def submit(device: RawDevice, body: dict[str, Any]) -> Answered:
    """Anonymously."""
    return await send(
        device.session, "POST", device.url("/v1/envelopes"), data=json.dumps(body).encode(), headers=JSON
    )


async def poll(device: RawDevice, after: int = 0, wait_seconds: int = 0) -> dict[str, Any]:
    answered = await device.call("GET", f"/v1/mailbox?after={after}&wait_seconds={wait_seconds}")
    assert answered.status == 200, answered.body
    return dict(answered.json)


async def test_submit_poll_acknowledge(reader: RawDevice):
    answered = await submit(reader, body_of(reader, TOKEN))
    assert (answered.status, answered.json) == (200, {"outcomes": [1], "manifest_behind": []})
    polled = await poll(reader)
    (envelope,) = polled["envelopes"]
    assert (envelope["sequence"], decode_bytes(envelope["ciphertext"])) == (1, b"sealed")
    assert (polled["missed"], polled["next_sequence"], polled["more"]) == ([], 2, False)
    assert (await reader.call("POST", "/v1/mailbox/ack", {"up_to": 1})).status == 204
    assert (await poll(reader))["envelopes"] == []


async def test_after_acknowledges_like_resume(world: World, reader: RawDevice):
    for number in range(3):
        assert (await submit(reader, body_of(reader, TOKEN, envelope_id=bytes((number,)) * 16))).status == 200
    assert [one["sequence"] for one in (await poll(reader, after=2))["envelopes"]] == [3]
    assert (await world.relay.services.store.mailboxes.state(reader.device_id)).lowest == 3
    ahead = await reader.call("GET", "/v1/mailbox?after=4")
    assert (ahead.status, ahead.code) == (409, "sequence_ahead")
    ahead = await reader.call("POST", "/v1/mailbox/ack", {"up_to": 9})
    assert (ahead.status, ahead.code) == (409, "sequence_ahead")


async def test_a_poll_waits_for_the_first_envelope(world: World, reader: RawDevice):
    waiting = asyncio.create_task(poll(reader, wait_seconds=30))
    async with anonymous(reader) as sender:
        await stored(sender, submit_to(reader, TOKEN, b"now"))
        polled = await waiting
    assert [decode_bytes(one["ciphertext"]) for one in polled["envelopes"]] == [b"now"]


async def test_a_poll_answers_with_nothing_after_its_time(reader: RawDevice):
    polled = await poll(reader, wait_seconds=1)
    assert polled == {"envelopes": [], "missed": [], "next_sequence": 1, "more": False}


async def test_a_long_answer_says_that_there_is_more(reader: RawDevice):
    bodies = [bytes((number,)) * 200_000 for number in range(8)]
    async with anonymous(reader) as sender:
        await stored(sender, *(submit_to(reader, TOKEN, body) for body in bodies))
    got: list[bytes] = []
    after, more = 0, True
    while more:
        polled = await poll(reader, after=after)
        got += [decode_bytes(one["ciphertext"]) for one in polled["envelopes"]]
        after, more = polled["envelopes"][-1]["sequence"], polled["more"]
    assert got == bodies


async def test_poll_and_socket_take_the_mailbox_from_each_other(reader: RawDevice):
    async with resumed(reader) as socket:
        await socket.expect(CaughtUp)
        waiting = asyncio.create_task(reader.call("GET", "/v1/mailbox?wait_seconds=30"))
        assert await socket.refused() == ("replaced", 4001)
    async with resumed(reader) as socket:
        await socket.expect(CaughtUp)
        replaced = await waiting
        assert (replaced.status, replaced.code) == (409, "replaced")


@pytest.mark.proves("M-DELIV-12")
async def test_a_poisonous_envelope_is_quarantined_skipped_and_goes_by_its_own_ack(reader: RawDevice):
    async with anonymous(reader) as sender:
        await stored(sender, submit_to(reader, TOKEN, b"poison"), submit_to(reader, TOKEN, b"good"))
    for _ in range(limits.MAX_DELIVERY_ATTEMPTS):
        assert [one["sequence"] for one in (await poll(reader))["envelopes"]] == [1, 2]
    assert [one["sequence"] for one in (await poll(reader))["envelopes"]] == [2]
    assert (await reader.call("POST", "/v1/mailbox/ack", {"up_to": 2})).status == 204
    kept = (await reader.call("GET", "/v1/mailbox/quarantine")).json["envelopes"]
    assert [(one["sequence"], decode_bytes(one["ciphertext"])) for one in kept] == [(1, b"poison")]
    assert (await reader.call("POST", "/v1/mailbox/ack", {"up_to": 0, "also": [1]})).status == 204
    assert (await reader.call("GET", "/v1/mailbox/quarantine")).json == {"envelopes": []}


async def test_a_poisonous_envelope_is_told_on_a_socket(reader: RawDevice):
    async with anonymous(reader) as sender:
        await stored(sender, submit_to(reader, TOKEN, b"poison"), submit_to(reader, TOKEN, b"good"))
    for _ in range(limits.MAX_DELIVERY_ATTEMPTS):
        async with resumed(reader) as socket:
            assert [frame.sequence for frame in await socket.deliveries(2)] == [1, 2]
    async with resumed(reader) as socket:
        notice = await socket.next()
        assert (notice.kind.name, notice.data) == ("QUARANTINED", (1,))  # type: ignore[attr-defined]
        assert (await socket.expect(Deliver)).ciphertext == b"good"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"ttl_seconds": 0}, 400, "malformed_request"),
        ({"ttl_seconds": limits.MAX_TTL_SECONDS + 1}, 400, "malformed_request"),
        ({"ciphertexts": []}, 400, "malformed_request"),
        ({"ciphertexts": [""]}, 400, "malformed_request"),
        ({"ciphertexts": [encode_bytes(bytes(limits.MAX_ENVELOPE_BYTES + 1))]}, 400, "malformed_request"),
        ({"ciphertexts": [encode_bytes(b"a"), encode_bytes(b"b")]}, 400, "malformed_request"),
        ({"sender": "me"}, 400, "malformed_request"),
    ],
)
async def test_what_does_not_fit_is_refused(
    reader: RawDevice, changed: dict[str, Any], status: int, code: str
):
    answered = await submit(reader, body_of(reader, TOKEN, **changed))
    assert (answered.status, answered.code) == (status, code)
    assert (await poll(reader))["next_sequence"] == 1


async def test_c7_without_a_valid_token_the_outcome_says_no_more(world: World, reader: RawDevice):
    for device, token in ((reader, bytes(16)), (world.device(), TOKEN), (reader, b"")):
        answered = await submit(reader, body_of(device, token))
        assert (answered.status, answered.json) == (200, {"outcomes": [4], "manifest_behind": []})


async def test_a_signed_submit_reaches_own_devices_alone(world: World, reader: RawDevice):
    other = await world.member()
    assert (await reader.call("POST", "/v1/envelopes", body_of(reader, b""))).json["outcomes"] == [1]
    refused = await reader.call("POST", "/v1/envelopes", body_of(other, b""))
    assert (refused.status, refused.code) == (403, "not_allowed")
