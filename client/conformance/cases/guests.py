"""Chapter Registration: guests, who come by a link of an account and reach that account alone."""

import os
from dataclasses import replace
from typing import Any

from client.conformance.device import Answer, Device, now_ms
from client.conformance.relay import Relay, parse_invite
from client.conformance.report import Failed, NotClaimed
from client.conformance.socket import authenticated
from client.conformance.wire import ACCEPTED, NOT_ALLOWED, REFUSED, STORED, to_base64

from .delivery import envelope, outcome
from .suite import SUITE

_STAY_SECONDS = 7_200
_CLOCKS_APART_MS = 120_000


async def _invite(host: Device, uses: int = 1) -> str:
    """A link for guests of this account; raises NotClaimed where accounts make none."""
    wanted = {"role": "guest", "uses": uses, "stay_seconds": _STAY_SECONDS}
    answer = await host.ask("POST", "/v1/invites", wanted)
    if (answer.status, answer.code) in ((403, "not_allowed"), (507, "quota_exceeded")):
        raise NotClaimed("accounts make no invites here")
    return str(answer.must(201).json["link"])


async def _guest(relay: Relay, host: Device) -> Device:
    return await replace(relay, invite=parse_invite(await _invite(host))).member()


async def _bundles(asker: Device, of: Device) -> Answer:
    return await asker.ask("POST", f"/v1/accounts/{of.account}/bundles", {"token": to_base64(of.token)})


async def _findable(relay: Relay) -> tuple[str, Device]:
    """A handle that the directory names to members, and whose it is."""
    name, token = "k" + os.urandom(6).hex(), to_base64(os.urandom(16))
    return name, await relay.member(handle=name, public_token=token)


@SUITE.case("guests-reach-their-hosts-alone")
async def reach(relay: Relay) -> None:
    """A guest is told its host and its end; it gets keys of its host and its own, and of nobody else, though it has a token."""
    host, other = await relay.member(), await relay.member()
    for one in (host, other):
        await one.stock(1)
    began_ms = now_ms()
    guest = await _guest(relay, host)
    told: dict[str, Any] = (await guest.ask("GET", "/v1/accounts/self")).must(200).json
    stay_ms = (told.get("guest") or {}).get("expires_at_ms", 0) - began_ms
    if told["role"] != "guest" or told["guest"]["hosts"] != [to_base64(host.account_id)]:
        raise Failed(f"GET /v1/accounts/self of a guest: expected its role and its host, got {told}")
    if abs(stay_ms - _STAY_SECONDS * 1_000) > _CLOCKS_APART_MS:
        raise Failed(f"a guest for {_STAY_SECONDS} s: expected that its end is then, got {told['guest']}")
    (await _bundles(guest, host)).must(200)
    (await _bundles(guest, guest)).must(200)
    (await _bundles(guest, other)).must(403, "not_allowed")
    (await _bundles(host, other)).must(200)
    if relay.document["anonymous_submit"]:
        return
    async with authenticated(guest) as writer:
        await writer.send(envelope(other))
        came = await writer.next()
        if came[:3] not in ([REFUSED, 1, "not_allowed"], [ACCEPTED, 1, [NOT_ALLOWED]]):
            raise Failed(f"an envelope of a guest to another account: expected not_allowed, got {came}")
        await writer.send(envelope(host, request=2))
        await outcome(writer, STORED, 2)


@SUITE.case("guests-find-their-hosts-alone")
async def find(relay: Relay) -> None:
    """The directory names its host to a guest; any other handle is answered like one that nobody has."""
    of_host, host = await _findable(relay)
    of_other, _ = await _findable(relay)
    guest = await _guest(relay, host)
    found = (await guest.ask("GET", f"/v1/handles/{of_host}")).must(200).json
    if found["account_id"] != to_base64(host.account_id):
        raise Failed(f"GET /v1/handles/… of a guest's host: expected its account, got {found}")
    (await host.ask("GET", f"/v1/handles/{of_other}")).must(200)
    told = [
        {**(await guest.ask("GET", f"/v1/handles/{name}")).must(403, "not_allowed").json, "request_id": ""}
        for name in (of_other, "k" + os.urandom(6).hex())
    ]
    if told[0] != told[1]:
        raise Failed(f"expected one answer for another's handle and for nobody's, got {told}")


@SUITE.case("guests-have-no-handle")
async def no_handle(relay: Relay) -> None:
    """A registration of a guest that asks for a handle is not_allowed, and uses up neither the handle nor the invite."""
    name = "k" + os.urandom(6).hex()
    by_link = replace(relay, invite=parse_invite(await _invite(await relay.member())))
    (await by_link.register(by_link.stranger(), handle=name)).must(403, "not_allowed")
    guest = await by_link.member()
    (await guest.ask("PUT", "/v1/handle", {"handle": name})).must_refuse("a guest's PUT /v1/handle")
    if (await guest.ask("GET", "/v1/accounts/self")).must(200).json["handle"] is not None:
        raise Failed("a guest: expected that it has no handle")
    await relay.member(handle=name)
