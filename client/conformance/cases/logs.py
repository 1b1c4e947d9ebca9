"""Chapters Sealed logs and Link mailbox."""

import asyncio
import os
import time
from typing import Any

from nacl.signing import SigningKey

from client.conformance.device import Answer, Device, ask
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import PATIENCE_SECONDS, resumed
from client.conformance.wire import CAUGHT_UP, from_base64, sha256, to_base32, to_base64, transcript, u64

from .suite import SUITE

_ADVANCED = 6


@SUITE.case("account-log-append-and-read", level="groups", proves=("M-LOG-01", "M-LOG-02", "M-LOG-03"))
async def account_log(relay: Relay) -> None:
    """An account's log takes an entry at its end alone: the same again is the same, others are a conflict; reads are in order."""
    device, entries = await relay.member(), [os.urandom(40) for _ in range(3)]
    path = "/v1/logs/notes"
    for index, entry in enumerate(entries):
        body = {"index": index, "entry": to_base64(entry)}
        first = (await device.ask("POST", path, body)).must(200).json
        if (await device.ask("POST", path, body)).must(200).json != first:
            raise Failed("the same append again: expected the same answer")
    for index in (1, 9):
        body = {"index": index, "entry": to_base64(os.urandom(8))}
        (await device.ask("POST", path, body)).must(409, "conflict")
    told = (await device.ask("GET", f"{path}?from=1")).must(200).json
    if [from_base64(one["entry"]) for one in told["entries"]] != entries[1:] or told["next_index"] != 3:
        raise Failed(f"expected entries 1 and 2 and the end at 3, got {told}")
    (await device.ask("DELETE", f"{path}?before=2")).must(204)
    told = (await device.ask("GET", f"{path}?from=0")).must(200).json
    if [one["index"] for one in told["entries"]] != [2] or told["first_index"] != 2:
        raise Failed(f"after the removal of 0 and 1: expected entry 2 alone, got {told}")
    (await relay.get(f"{path}?from=0")).must(401, "unauthenticated")


@SUITE.case("account-log-notice", level="groups")
async def account_log_notice(relay: Relay) -> None:
    """Each new entry is told by a notice to the account's other devices."""
    device = await relay.member()
    other = device.beside()
    await device.advance(device.entry(), other.entry(flags=0))
    async with resumed(other) as socket:
        await socket.expect(CAUGHT_UP)
        body = {"index": 0, "entry": to_base64(b"x")}
        (await device.ask("POST", "/v1/logs/notes", body)).must(200)
        data = await socket.notice(_ADVANCED)
        if data[0] not in ("notes", b"notes") or data[1] != 1:
            raise Failed(f"expected the notice to name the log and its end, got {data}")


class _GroupLog:
    """A group log with its present key and token."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.log_id, self.key, self.token = os.urandom(32), SigningKey.generate(), os.urandom(32)

    async def make(self, by: Device, entry: bytes) -> Answer:
        body = {
            "log_id": to_base64(self.log_id),
            "write_key": to_base64(bytes(self.key.verify_key)),
            "read_token_hash": to_base64(sha256(self.token)),
            "entry": to_base64(entry),
        }
        return await by.ask("POST", "/v1/group-logs", body)

    async def append(
        self,
        index: int,
        entry: bytes,
        *,
        key: SigningKey | None = None,
        next_key: SigningKey | None = None,
        next_token: bytes | None = None,
    ) -> Answer:
        following = None if next_key is None else bytes(next_key.verify_key)
        token_hash = None if next_token is None else sha256(next_token)
        signed = transcript(
            "tokenim/v1 log append", self.log_id, u64(index), sha256(entry), following, token_hash
        )
        body: dict[str, Any] = {
            "index": index,
            "entry": to_base64(entry),
            "signature": to_base64((key or self.key).sign(signed).signature),
        }
        if following is not None:
            body["next_write_key"] = to_base64(following)
        if token_hash is not None:
            body["next_read_token_hash"] = to_base64(token_hash)
        nobody = self.relay.stranger()
        return await nobody.say("POST", f"/v1/group-logs/{to_base32(self.log_id)}/entries", body)

    async def read(self, token: bytes | None = None) -> Answer:
        headers = {"TokenIM-Log-Token": to_base64(self.token if token is None else token)}
        return await self.relay.get(f"/v1/group-logs/{to_base32(self.log_id)}?from=0", **headers)


@SUITE.case("group-log-append-and-read", level="groups", proves=("M-LOG-01", "M-LOG-02", "M-LOG-03"))
async def group_log(relay: Relay) -> None:
    """A group log is appended by its write key and read by its token, by nobody in particular."""
    log, device = _GroupLog(relay), await relay.member()
    (await log.make(device, b"zero")).must(201)
    (await log.make(device, b"zero")).must(201)
    (await log.make(device, b"other")).must(409, "conflict")
    first = (await log.append(1, b"one")).must(200).json
    if (await log.append(1, b"one")).must(200).json != first:
        raise Failed("an append whose answer was lost: expected the same answer again")
    (await log.append(1, b"rival")).must(409, "conflict")
    (await log.append(5, b"ahead")).must(409, "conflict")
    told = (await log.read()).must(200).json
    if [from_base64(one["entry"]) for one in told["entries"]] != [b"zero", b"one"]:
        raise Failed(f"expected both entries, got {told}")


@SUITE.case("group-log-one-refusal", level="groups", proves=("M-LOG-05",))
async def one_refusal(relay: Relay) -> None:
    """A wrong token, a wrong signature and a log that does not exist are one answer."""
    log, device = _GroupLog(relay), await relay.member()
    (await log.make(device, b"zero")).must(201)
    answers = [
        await log.read(os.urandom(32)),
        await log.append(1, b"one", key=SigningKey.generate()),
        await _GroupLog(relay).read(),
        await _GroupLog(relay).append(1, b"one"),
    ]
    told = [{**answer.must(403, "not_allowed").json, "request_id": ""} for answer in answers]
    if any(one != told[0] for one in told):
        raise Failed(f"expected one answer for all, got {told}")


@SUITE.case("group-log-key-and-token-change", level="groups", proves=("M-LOG-04",))
async def key_changes(relay: Relay) -> None:
    """From the entry on that changes key and token, the old key signs and the old token reads nothing more."""
    log, device = _GroupLog(relay), await relay.member()
    (await log.make(device, b"zero")).must(201)
    old_key, old_token = log.key, log.token
    new_key, new_token = SigningKey.generate(), os.urandom(32)
    (await log.append(1, b"one", next_key=new_key, next_token=new_token)).must(200)
    (await log.append(2, b"two", key=old_key)).must(403, "not_allowed")
    (await log.read(old_token)).must(403, "not_allowed")
    (await log.append(1, b"rival", key=old_key)).must(409, "conflict")
    (await log.append(2, b"two", key=new_key)).must(200)
    told = (await log.read(new_token)).must(200).json
    if told["next_index"] != 3:
        raise Failed(f"expected three entries by the new token, got {told}")


@SUITE.case("link-mailbox-slots", level="groups")
async def link_mailbox(relay: Relay) -> None:
    """A slot of a link mailbox is written once, and read by who knows the id."""
    base = f"/v1/links/{to_base32(os.urandom(16))}"
    octets = {"Content-Type": "application/octet-stream"}

    async def put(slot: str, data: bytes) -> Answer:
        return await ask(relay.session, "PUT", f"{relay.origin}{base}/{slot}", data=data, headers=octets)

    (await relay.get(f"{base}/request?wait_seconds=0")).must(404, "not_found")
    (await put("request", b"first")).must(204)
    (await put("request", b"first")).must(204)
    (await put("request", b"second")).must(409, "conflict")
    if (await relay.get(f"{base}/request?wait_seconds=0")).must(200).body != b"first":
        raise Failed("expected the bytes that were written first")
    (await relay.get(f"{base}/answer?wait_seconds=0")).must(204)
    (await put("request-of-mine", b"x")).must(404)


@SUITE.case("link-mailbox-waits", level="groups")
async def link_waits(relay: Relay) -> None:
    """Who reads an empty slot is answered when something is written there, or with nothing after as long as it named."""
    url = f"{relay.origin}/v1/links/{to_base32(os.urandom(16))}"
    octets = {"Content-Type": "application/octet-stream"}
    (await ask(relay.session, "PUT", f"{url}/request", data=b"question", headers=octets)).must(204)
    began = time.monotonic()
    (await ask(relay.session, "GET", f"{url}/answer?wait_seconds=1")).must(204)
    if time.monotonic() - began < 0.9:
        raise Failed("an empty slot that is read with wait_seconds=1: expected no answer before that")
    reading = asyncio.create_task(ask(relay.session, "GET", f"{url}/answer?wait_seconds=30"))
    try:
        await asyncio.sleep(0.3)  # it mostly waits by now; if not, it finds what was written
        (await ask(relay.session, "PUT", f"{url}/answer", data=b"answer", headers=octets)).must(204)
        told = (await asyncio.wait_for(reading, PATIENCE_SECONDS)).must(200)
    except TimeoutError:
        raise Failed("who waits at a slot: expected what is written there, nothing came") from None
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    if told.body != b"answer":
        raise Failed(f"who waits at a slot: expected what is written there, got {told.body!r}")
