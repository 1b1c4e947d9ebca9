"""Every route, asked over HTTP by every role: what is let in is what stands in role_matrix.txt, written by hand."""

import hashlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.commands.operators import Commands
from relay.composition import commands_of
from relay.services.roles import Authority, Role
from relay.web.admin import ADMIN_ROUTES
from relay.web.call import Route, Signing
from relay.web.login import COOKIE, CSRF_HEADER
from relay.web.operators import OPERATOR_ROUTES
from relay.web.routes import ROUTES
from relay.wire.frames import Anonymous, Authenticate, Challenge, Ready
from relay.wire.links import decode_id, encode_bytes, encode_id
from relay.wire.resources import ClaimRequest
from tests.raw_device import Answered, RawDevice, send
from tests.raw_socket import open_socket
from tests.running_relay import World, open_world

FILE = Path(__file__).with_name("role_matrix.txt")
DEFINED = {"helpdesk": ["read_mailbox", "submit", "list_accounts", "suspend_accounts"]}
"""A role of the settings: it may this, and nothing that every member may."""
WHO = ("nobody", "suspended", *Role, *DEFINED)
FRAMES = ("anonymous", "authenticate")
TOKEN = b"t" * 16


def expected() -> dict[tuple[str, str], dict[str, str]]:
    """(Method, path) → who → y or n, as the file says it."""
    lines = [line.split() for line in FILE.read_text().splitlines()]
    (heads,) = [line[1:] for line in lines if line[:2] == ["#", "nobody"]]
    assert heads == list(WHO)
    rows = [line for line in lines if line and not line[0].startswith("#")]
    assert all(len(row) == len(WHO) + 2 and set(row[2:]) <= {"y", "n"} for row in rows)
    assert len({tuple(row[:2]) for row in rows}) == len(rows)
    return {(row[0], row[1]): dict(zip(WHO, row[2:], strict=True)) for row in rows}


EXPECTED = expected()


def test_e3_the_matrix_has_every_route_and_no_other() -> None:
    routes = {(route.method, route.path) for route in (*ROUTES, *ADMIN_ROUTES)} | {
        ("FRAME", frame) for frame in FRAMES
    }
    assert routes - EXPECTED.keys() == set(), "a new route: say in role_matrix.txt who is let in"
    assert EXPECTED.keys() - routes == set(), "no such route any more"


@dataclass
class Town:
    """A device of each role, and somebody whom all of them may reach."""

    world: World
    devices: dict[str, RawDevice]
    friend: RawDevice
    log_id: bytes

    def target(self, route: Route) -> str:
        """The path, with what is there in its places."""
        places = {
            "account_id": self.friend.account,
            "handle": "friend",
            "token_hash": encode_bytes(bytes(32)),
            "blob_id": encode_id(os.urandom(32)),
            "log_id": encode_id(self.log_id),
            "link_id": encode_id(os.urandom(32)),
            "slot": "1",
            "name": "notes" if route in ROUTES else "index.html",
        }
        path = route.path.format(**places)
        queries = {"before": "0", "wait_seconds": "0"}
        query = "&".join(f"{name}={queries[name]}" for name in route.query if name in queries)
        return f"{path}?{query}" if query else path

    def headers(self, route: Route) -> dict[str, str]:
        """All that the route asks for."""
        known = {
            "TokenIM-Delivery-Token": encode_bytes(TOKEN),
            "TokenIM-Log-Token": encode_bytes(bytes(32)),
            "Tus-Resumable": "1.0.0",
            "Upload-Length": "1",
            "Upload-Offset": "0",
            "Upload-Metadata": "sha256 AA==",
        }
        return {name: known[name] for name in route.request_headers if name in known}

    async def ask(self, who: str, route: Route) -> Answered:
        """The route, by this role. A body has nothing in it: it is read after somebody was let in."""
        target, headers = self.target(route), self.headers(route)
        data = b"{}" if route.request or route.signing is Signing.STREAMED else b""
        if route.request is ClaimRequest:  # refused without a token, whoever asks
            data = json.dumps({"token": encode_bytes(TOKEN)}).encode()
        if route.request:
            headers["Content-Type"] = "application/json"
        if route.signing is Signing.STREAMED:
            headers["Content-Type"] = "application/offset+octet-stream"
        if who != "nobody":
            streamed = route.signing is Signing.STREAMED
            body_hash = b"streamed" if streamed else hashlib.sha256(data).digest()
            headers["Authorization"] = self.devices[who].authorization(
                route.method, target, body_hash, upload_offset=0 if streamed else None
            )
        url = f"{self.world.relay.admin_url}{target}" if route in ADMIN_ROUTES else self.friend.url(target)
        return await send(self.world.session, route.method, url, data=data or None, headers=headers)


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with open_world(admin={"listen": "127.0.0.1:0"}, roles=DEFINED) as world:
        friend = world.device()
        await friend.register(await world.relay.invite(), handle="friend", public_token=TOKEN)
        await friend.add_token(TOKEN)
        host = decode_id(friend.account, 32)
        devices = {
            role: await world.member(role=role, hosts=[host] if role == Role.GUEST else [])
            for role in WHO[2:]
        }
        devices["suspended"] = await world.member()
        commands: Commands = commands_of(world.relay.services)
        await commands.run(
            "account.suspend", {"account": devices["suspended"].account}, by=Authority.of_machine(0)
        )
        log_id = os.urandom(32)
        body = {
            "log_id": encode_bytes(log_id),
            "write_key": encode_bytes(bytes(friend.key.verify_key)),
            "read_token_hash": encode_bytes(hashlib.sha256(bytes(32)).digest()),
            "entry": encode_bytes(b"entry"),
        }
        made = await friend.call("POST", "/v1/group-logs", body)
        assert made.status == 201, made.body
        yield Town(world, devices, friend, log_id)


def outcome(answered: Answered, *, method: str) -> str:
    """n if somebody was refused for who it is."""
    if method == "HEAD":
        return "n" if answered.status in (401, 403) else "y"
    if answered.status not in (401, 403):
        return "y"
    assert answered.code in ("unauthenticated", "not_allowed"), answered.body
    return "n"


@pytest.mark.parametrize("route", [*ROUTES, *ADMIN_ROUTES], ids=lambda route: f"{route.method} {route.path}")
async def test_e3_each_role_gets_what_the_matrix_says(town: Town, route: Route) -> None:
    answers = {who: await town.ask(who, route) for who in WHO}
    found = {who: outcome(answered, method=route.method) for who, answered in answers.items()}
    assert found == EXPECTED.get((route.method, route.path), "the route is missing in role_matrix.txt"), {
        who: answered.body[:100] for who, answered in answers.items()
    }


async def log_in(town: Town, who: str) -> dict[str, str]:
    """The headers of a browser that logged in for this account."""
    logins = town.world.relay.services.logins
    cookie, session = await logins.log_in(logins.link(uid=0, account_id=town.devices[who].account_id))
    return {"Cookie": f"{COOKIE}={encode_bytes(cookie)}", CSRF_HEADER: encode_bytes(session.csrf)}


@pytest.mark.parametrize("route", OPERATOR_ROUTES, ids=lambda route: route.path)
async def test_e3_a_browser_gets_what_the_account_s_role_gets(town: Town, route: Route) -> None:
    found = {"nobody": "n"}
    for who in WHO[1:]:
        headers = {**await log_in(town, who), "Content-Type": "application/json"}
        url = f"{town.world.relay.admin_url}{route.path}"
        answered = await send(town.world.session, "POST", url, data=b"{}", headers=headers)
        found[who] = outcome(answered, method="POST")
    assert found == EXPECTED["POST", route.path]


@pytest.mark.parametrize("who", WHO)
async def test_e3_each_role_opens_the_connection_that_the_matrix_says(town: Town, who: str) -> None:
    found = {}
    device = town.devices.get(who, town.friend)
    for frame in FRAMES:
        async with open_socket(town.world.session, device.origin) as socket:
            challenge = (await socket.expect(Challenge)).challenge
            if frame == "anonymous":
                await socket.send(Anonymous())
            else:
                signature = device.socket_signature(challenge) if who != "nobody" else bytes(64)
                await socket.send(Authenticate(device.device_id, signature))
            found[frame] = "y" if isinstance(await socket.next(), Ready) else "n"
    assert found == {frame: EXPECTED["FRAME", frame][who] for frame in FRAMES}
