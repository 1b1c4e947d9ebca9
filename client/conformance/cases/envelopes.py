"""Chapters Reach and HTTP: `POST /v1/envelopes`, by whom and with what."""

import asyncio
import os
from typing import Any

from client.conformance.device import Answer, Device
from client.conformance.relay import Relay
from client.conformance.report import Failed, NotClaimed
from client.conformance.socket import resumed
from client.conformance.wire import (
    DELIVER,
    DURABLE,
    NOT_ALLOWED,
    STORED,
    WORK_REQUIRED,
    from_base64,
    sha256,
    to_base64,
)

from .delivery import DAY
from .suite import SUITE
from .work import MOST_BITS, find

_PATH = "/v1/envelopes"


def as_json(to: Device, ciphertext: bytes = b"", *, token: bytes | None = None) -> dict[str, Any]:
    """A submit of one ciphertext for one device, as a body."""
    token = to.token if token is None else token
    return {
        "envelope_id": to_base64(os.urandom(16)),
        "envelope_class": DURABLE,
        "ttl_seconds": DAY,
        "ciphertexts": [to_base64(ciphertext or os.urandom(256))],
        "targets": [{"device_id": to_base64(to.device_id), "ciphertext": 0, "grant": 0}],
        "grants": [
            {
                "account_id": to_base64(to.account_id),
                "token": to_base64(token),
                "manifest_version": to.version,
            }
        ],
    }


def _became(answer: Answer, wanted: int) -> None:
    if (outcomes := answer.must(200).json["outcomes"]) != [wanted]:
        raise Failed(f"{answer.asked}: expected the outcome {wanted}, got {outcomes}")


def _kept_out(answer: Answer, what: str) -> None:
    """As a whole or for its target, as the relay can tell before it looks at the grant or not."""
    whole = answer.status == 403 and answer.code == "not_allowed"
    if not whole and not (answer.status == 200 and answer.json["outcomes"] == [NOT_ALLOWED]):
        raise Failed(f"{what}: expected not_allowed, got {answer.status} {answer.body[:200]!r}")


@SUITE.case("envelopes-signed", proves=("M-REACH-02",))
async def signed(relay: Relay) -> None:
    """A signed submit needs no token for own devices, and goes to others where the document says so; any other needs a token."""
    ann, ben, mine, sent = await relay.member(), await relay.member(), os.urandom(256), os.urandom(256)
    other = ann.beside()
    await ann.advance(ann.entry(), other.entry(flags=0))
    _became(await ann.ask("POST", _PATH, as_json(other, mine, token=b"")), STORED)
    _kept_out(await ann.say("POST", _PATH, as_json(other, token=b"")), "a submit of nobody without a token")
    _kept_out(await ben.ask("POST", _PATH, as_json(other, token=b"")), "another's submit without a token")
    if relay.document["anonymous_submit"]:
        answer = await ann.ask("POST", _PATH, as_json(ben))
        answer.must(403, "not_allowed")
        _became(await ann.say("POST", _PATH, as_json(ben, sent)), STORED)
    else:
        (await ann.say("POST", _PATH, as_json(ben))).must(403, "not_allowed")
        _became(await ann.ask("POST", _PATH, as_json(ben, sent)), STORED)
    for reader, wanted in ((other, mine), (ben, sent)):
        async with resumed(reader) as socket:
            if (await socket.expect(DELIVER))[4] != wanted:
                raise Failed("POST /v1/envelopes: expected that what was stored arrives, and nothing else")
            await socket.quiet(0.2)


@SUITE.case("envelopes-public-work")
async def public_work(relay: Relay) -> None:
    """Over HTTP, too, an envelope by a token of class public needs the work that the document asks for, in `work`."""
    bits = relay.document["limits"]["public_work_bits"]
    if not bits or bits > MOST_BITS:
        raise NotClaimed(f"it asks for {bits} bits of work with envelopes")
    ann, ciphertext = await relay.member(), os.urandom(256)
    token = await ann.add_token("public")
    body = as_json(ann, ciphertext, token=token)
    bound = from_base64(body["envelope_id"]), ann.account_id, sha256(token)
    little, enough = await asyncio.to_thread(find, bits, "tokenim/v1 work", *bound)
    post = ann.say if relay.document["anonymous_submit"] else (await relay.member()).ask
    for work, wanted in (
        ([], WORK_REQUIRED),
        ([to_base64(little)], WORK_REQUIRED),
        ([to_base64(enough)], STORED),
    ):
        _became(await post("POST", _PATH, {**body, "work": work}), wanted)
    async with resumed(ann) as socket:
        if (await socket.expect(DELIVER))[4] != ciphertext:
            raise Failed("POST /v1/envelopes by a public token with its work: expected that it arrives")
