"""Chapters Registration and Reach: proofs of work, where the relay's document asks for them."""

import asyncio
import hashlib
import os
from typing import Any

from client.conformance.device import Answer, Device
from client.conformance.relay import Relay
from client.conformance.report import Failed, NotClaimed
from client.conformance.wire import (
    STORED,
    WORK_REQUIRED,
    from_base64,
    leading_zero_bits,
    sha256,
    to_base64,
    transcript,
    u64,
)

from .delivery import envelope, outcome
from .suite import SUITE
from .writing import writing

MOST_BITS = 21
"""For more, a case looks no work up: it would take longer than it has."""
_TOO_OLD_MS = 700_000
_LABEL = "tokenim/v1 registration work"


def find(bits: int, label: str, *fields: bytes) -> tuple[bytes, bytes]:
    """Work that is one bit too little, and work that is enough, for a transcript of these fields and the work."""
    begun = hashlib.sha256(transcript(label, *fields, bytes(8))[:-8])
    found: dict[bool, bytes] = {}
    number = int.from_bytes(os.urandom(4), "big") << 32
    while len(found) < 2:
        number += 1
        hashed = begun.copy()
        hashed.update(u64(number))
        if (zeros := leading_zero_bits(hashed.digest())) >= bits - 1:
            found[zeros >= bits] = u64(number)
    return found[False], found[True]


class _Newcomer:
    """Somebody without an invite, at a relay whose document says that it is open."""

    def __init__(self, relay: Relay) -> None:
        self.device: Device = relay.stranger()
        self.manifest = self.device.manifest(self.device.entry())

    def fields(self, time_ms: int) -> tuple[bytes, ...]:
        """What its work for this time is bound to."""
        body_hash = sha256(from_base64(self.manifest["body"]))
        return self.device.origin.encode(), self.device.account_id, body_hash, u64(time_ms)

    async def find(self, bits: int, time_ms: int) -> tuple[bytes, bytes]:
        """Too little work, and enough, for this time."""
        return await asyncio.to_thread(find, bits, _LABEL, *self.fields(time_ms))

    async def register(self, work: bytes | None, time_ms: int = 0) -> Answer:
        """The answer to a registration with this work."""
        body: dict[str, Any] = {"manifest": self.manifest}
        if work is not None:
            body["work"] = {"time_ms": time_ms, "work": to_base64(work)}
        return await self.device.say("POST", "/v1/accounts", body)


async def _asked_for(relay: Relay) -> tuple[int, int]:
    """Bits and time of the document as it is now; raises NotClaimed where the relay is not open, or asks for too much."""
    if relay.document["registration"] != "open":
        raise NotClaimed("its document does not say that it is open")
    document = (await relay.get("/.well-known/tokenim")).must(200).json
    bits = document.get("registration_work_bits", 0)
    if bits > MOST_BITS:
        raise NotClaimed(f"it asks for {bits} bits of work at this moment: too many for a case")
    return bits, document["time_ms"]


async def _work_and_register(relay: Relay, someone: _Newcomer) -> Answer:
    bits, time_ms = await _asked_for(relay)
    return await someone.register((await someone.find(bits, time_ms))[1] if bits else None, time_ms)


@SUITE.case("registration-by-work")
async def by_work(relay: Relay) -> None:
    """At an open relay the work that its document asks for makes an account, and the same manifest again needs no new one."""
    someone = _Newcomer(relay)
    answer = await _work_and_register(relay, someone)
    if answer.code == "work_required":  # the bits grow while many come
        answer = await _work_and_register(relay, someone)
    first = answer.must(201).json
    if (await someone.register(None)).must(201).json != first:
        raise Failed("a registration by work that is repeated: expected the same answer")
    (await someone.device.ask("GET", "/v1/accounts/self")).must(200)


@SUITE.case("registration-too-little-work")
async def too_little_work(relay: Relay) -> None:
    """At an open relay no account comes without work, by a bit too little, by another account's, or by work that is too old."""
    bits, time_ms = await _asked_for(relay)
    if not bits:
        raise NotClaimed("it asks for no work at this moment")
    someone, other = _Newcomer(relay), _Newcomer(relay)
    little, _ = await someone.find(bits, time_ms)
    _, of_other = await other.find(bits, time_ms)
    while leading_zero_bits(sha256(transcript(_LABEL, *someone.fields(time_ms), of_other))) >= bits:
        _, of_other = await other.find(bits, time_ms)  # by chance it was enough for both
    _, old = await someone.find(bits, time_ms - _TOO_OLD_MS)
    for answer in (
        await someone.register(None),
        await someone.register(little, time_ms),
        await someone.register(of_other, time_ms),
        await someone.register(old, time_ms - _TOO_OLD_MS),
    ):
        answer.must(403, "work_required")
    (await someone.device.ask("GET", "/v1/accounts/self")).must(401, "unauthenticated")


@SUITE.case("delivery-public-token-needs-work")
async def public_token(relay: Relay) -> None:
    """By a token of class public an envelope needs the proof of work that the document asks for, and no bit less."""
    bits = relay.document["limits"]["public_work_bits"]
    if not bits:
        raise NotClaimed("it asks for no work with envelopes")
    if bits > MOST_BITS:
        raise NotClaimed(f"it asks for {bits} bits of work with envelopes: too many for a case")
    ann, envelope_id = await relay.member(), os.urandom(16)
    token = await ann.add_token("public")
    little, enough = await asyncio.to_thread(
        find, bits, "tokenim/v1 work", envelope_id, ann.account_id, sha256(token)
    )
    async with writing(relay) as writer:
        for request, (work, wanted) in enumerate(
            (([], WORK_REQUIRED), ([little], WORK_REQUIRED), ([enough], STORED)), 1
        ):
            await writer.send([*envelope(ann, token=token, request=request, envelope_id=envelope_id), work])
            await outcome(writer, wanted, request)
