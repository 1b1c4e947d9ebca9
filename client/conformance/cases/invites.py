"""Chapter Registration: invites that accounts make."""

from dataclasses import replace
from typing import Any

from client.conformance.device import Device
from client.conformance.relay import Relay, parse_invite
from client.conformance.report import Failed, NotClaimed

from .suite import SUITE

_INVITES = "/v1/invites"


async def _make(maker: Device, uses: int) -> dict[str, Any]:
    """A new invite for members; raises NotClaimed where operators alone invite."""
    answer = await maker.ask("POST", _INVITES, {"role": "member", "uses": uses})
    if (answer.status, answer.code) in ((403, "not_allowed"), (507, "quota_exceeded")):
        raise NotClaimed("accounts make no invites here")
    made: dict[str, Any] = answer.must(201).json
    return made


async def _joins(relay: Relay, link: str) -> bool:
    """Whether this link makes one more account; raises Failed for an answer that says neither."""
    by_link = replace(relay, invite=parse_invite(link))
    device = by_link.stranger()
    answer = await by_link.register(device, manifest=device.manifest(device.entry()))
    if answer.status != 201:
        answer.must(403, "invite_invalid")
    return answer.status == 201


@SUITE.case("registration-again-uses-nothing-up")
async def again(relay: Relay) -> None:
    """An account is one use of its invite, however often its registration is repeated."""
    link = (await _make(await relay.member(), uses=2))["link"]
    by_link = replace(relay, invite=parse_invite(link))
    device = by_link.stranger()
    manifest = device.manifest(device.entry())
    for _ in range(3):
        (await by_link.register(device, manifest=manifest)).must(201)
    if not await _joins(relay, link):
        raise Failed("an invite with two uses, one of them registered three times: expected that one is left")
    if await _joins(relay, link):
        raise Failed("an invite with two uses: expected invite_invalid for the third account")


@SUITE.case("invites-of-accounts")
async def of_accounts(relay: Relay) -> None:
    """An account's invite is listed for it alone and without its link, makes an account, and ends when it is used up or ended."""
    maker, other = await relay.member(), await relay.member()
    spent, ended = await _make(maker, uses=1), await _make(maker, uses=1)
    invite = parse_invite(spent["link"])
    if (invite.origin, invite.relay_key) != (relay.origin, relay.invite.relay_key) or spent["uses_left"] != 1:
        raise Failed(f"POST {_INVITES}: expected a link of this relay with one use, got {spent}")

    async def listed(by: Device) -> set[str]:
        answer = (await by.ask("GET", _INVITES)).must(200)
        if any(one["link"].partition("#")[2] in answer.body.decode() for one in (spent, ended)):
            raise Failed(f"GET {_INVITES}: expected no link in it")
        return {one["name"] for one in answer.json["invites"]}

    if await listed(maker) != {spent["name"], ended["name"]} or await listed(other):
        raise Failed(f"GET {_INVITES}: expected both for who made them, and none for another account")
    if not await _joins(relay, spent["link"]):
        raise Failed("an invite that an account made: expected that it makes an account")
    (await other.ask("DELETE", f"{_INVITES}/{ended['name']}")).must_refuse("another account's DELETE")
    (await maker.ask("DELETE", f"{_INVITES}/{ended['name']}")).must(204)
    if await listed(maker) or await _joins(relay, spent["link"]) or await _joins(relay, ended["link"]):
        raise Failed(
            "an invite that is used up, or was ended: expected that it is listed no more, and makes no account"
        )
    (await relay.get(_INVITES)).must(401, "unauthenticated")
