"""The commands of operators over HTTP: `POST /admin/v1/COMMAND` on a listener of their own."""

import json
from dataclasses import replace
from typing import Any

from client.conformance.device import Answer, Device, ask
from client.conformance.relay import Relay, parse_invite
from client.conformance.report import Failed
from client.conformance.socket import resumed
from client.conformance.wire import CAUGHT_UP, sha256

from .suite import SUITE


async def command(relay: Relay, by: Device, name: str, /, **arguments: Any) -> Answer:
    """The answer to a command that this device signs."""
    target, data = f"/admin/v1/{name}", json.dumps(arguments).encode()
    headers = {
        "Content-Type": "application/json",
        "Authorization": by.authorization("POST", target, sha256(data)),
    }
    return await ask(relay.session, "POST", relay.admin + target, data=data, headers=headers)


@SUITE.case("operator-described", level="operator")
async def described(relay: Relay) -> None:
    """The commands are described by OpenAPI 3.1 on their listener."""
    told = (await ask(relay.session, "GET", f"{relay.admin}/admin/v1/openapi.json")).must(200).json
    if not told["openapi"].startswith("3.1") or "/admin/v1/account.list" not in told["paths"]:
        raise Failed("expected OpenAPI 3.1 with /admin/v1/account.list in it")


@SUITE.case("operator-not-for-members", level="operator")
async def not_for_members(relay: Relay) -> None:
    """Who does not sign is unauthenticated, and a member is refused."""
    member = await relay.member()
    for name in ("account.list", "audit.list", "settings.show", "figures.now"):
        url = f"{relay.admin}/admin/v1/{name}"
        headers = {"Content-Type": "application/json"}
        (await ask(relay.session, "POST", url, data=b"{}", headers=headers)).must(401, "unauthenticated")
        (await command(relay, member, name)).must(403, "not_allowed")


@SUITE.case("operator-not-on-the-relay's-listener", level="operator")
async def own_listener(relay: Relay) -> None:
    """The commands are not on the listener that is for everybody."""
    url = f"{relay.origin}/admin/v1/account.list"
    (await ask(relay.session, "POST", url, data=b"{}", headers={"Content-Type": "application/json"})).must(
        404
    )


@SUITE.case("operator-suspends", level="operator")
async def suspends(relay: Relay) -> None:
    """An admin suspends an account, which is cut off within a second and comes back when that is taken back; both are audited."""
    admin, member = await relay.admin_account(), await relay.member()
    async with resumed(member) as socket:
        await socket.expect(CAUGHT_UP)
        (await command(relay, admin, "account.suspend", account=member.account)).must(200)
        await socket.closed(4008, within=1.5)
    (await member.ask("GET", "/v1/mailbox?after=0&wait_seconds=0")).must(403, "not_allowed")
    (await command(relay, admin, "account.resume", account=member.account)).must(200)
    (await member.ask("GET", "/v1/mailbox?after=0&wait_seconds=0")).must(200)
    rows = (await command(relay, admin, "audit.list", limit=20)).must(200).json["rows"]
    actions = [row["action"] for row in rows if member.account in str(row)]
    if not {"account_suspend", "account_resume"} <= {action.replace(".", "_") for action in actions}:
        raise Failed(f"expected both acts in the audit log, got {actions}")


@SUITE.case("operator-invites", level="operator")
async def invites(relay: Relay) -> None:
    """An admin makes an invite, lists it and revokes it; the link is told once, and makes no account afterwards."""
    admin = await relay.admin_account()
    link = (await command(relay, admin, "invite.create", role="member", uses=1)).must(200).json["link"]
    listed = (await command(relay, admin, "invite.list")).must(200)
    if link in listed.body.decode():
        raise Failed("invite.list: expected no link in it")
    newest = max(listed.json["invites"], key=lambda one: one["created_at_ms"])
    (await command(relay, admin, "invite.revoke", name=newest["name"])).must(200)
    revoked = replace(relay, invite=parse_invite(link))
    device = revoked.stranger()
    (await revoked.register(device, manifest=device.manifest(device.entry()))).must(403, "invite_invalid")
