"""Each command of the control socket either changes nothing, or leaves exactly one row in the audit log, done or refused."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from relay.commands.operators import TABLE, Commands
from relay.commands.table import Arguments, CommandTable
from relay.composition import commands_of
from relay.ports.pusher import PushAddress
from relay.services.audit import Act
from relay.services.audit_records import told_row
from relay.services.roles import Authority, Operation
from relay.testing import TestRelay, open_test_relay
from relay.wire.audit_rows import Party
from relay.wire.errors import MalformedRequest, NotFound, RelayError
from relay.wire.links import encode_id
from tests.contract.people import NOW_MS, registration
from tests.raw_device import RawDevice

UID = 4711
BY = Authority.of_machine(UID)


async def an_invite(commands: Commands) -> dict[str, Any]:
    """Arguments that name an invite which is there."""
    await commands.run("invite.create", {}, by=Authority.of_machine(0))
    listed = await commands.run("invite.list", {}, by=Authority.of_machine(0))
    return {"name": listed["invites"][-1]["name"]}


async def a_handle(commands: Commands) -> dict[str, Any]:
    """Arguments that name a handle which is reserved."""
    await commands.run("handle.reserve", {"handle": "admin"}, by=Authority.of_machine(0))
    return {"handle": "admin"}


async def a_free_handle(_commands: Commands) -> dict[str, Any]:
    """Arguments that name a handle."""
    return {"handle": "admin"}


async def an_account(commands: Commands) -> dict[str, Any]:
    """Arguments that name an account which is there."""
    await commands.administration._accounts.register(registration("anna"), now_ms=NOW_MS)
    listed = await commands.run("account.list", {}, by=Authority.of_machine(0))
    return {"account": listed["accounts"][-1]["account"]}


async def a_role(commands: Commands) -> dict[str, Any]:
    return {**await an_account(commands), "role": "auditor"}


async def a_hold(commands: Commands) -> dict[str, Any]:
    return {**await an_account(commands), "reason": "case-7", "days": 3}


async def a_held_account(commands: Commands) -> dict[str, Any]:
    hold = await a_hold(commands)
    await commands.run("retention.hold", hold, by=Authority.of_machine(0))
    return {"account": hold["account"]}


async def a_size(_commands: Commands) -> dict[str, Any]:
    return {"bytes": 4_711}


async def a_woken_device(commands: Commands) -> dict[str, Any]:
    account = await commands.administration._accounts.register(registration("woken"), now_ms=NOW_MS)
    device_id = account.devices[0].device_id
    address = PushAddress("webhook", "https://127.0.0.1:1/")  # nobody listens there
    await commands.of_running.push.register(device_id, address)
    return {"device": encode_id(device_id)}


async def nothing(_commands: Commands) -> dict[str, Any]:
    return {}


SAMPLES: Mapping[str, Callable[[Commands], Awaitable[dict[str, Any]]]] = {
    "account.list": nothing,
    "role.list": nothing,
    "account.export_page": an_account,
    "account.export": an_account,
    "account.suspend": an_account,
    "account.resume": an_account,
    "account.delete": an_account,
    "role.grant": a_role,
    "role.revoke": an_account,
    "retention.show": nothing,
    "retention.holds": nothing,
    "retention.hold": a_hold,
    "retention.release": a_held_account,
    "retention.run": nothing,
    "backup": a_size,
    "handle.reserve": a_free_handle,
    "handle.release": a_handle,
    "handle.list": nothing,
    "invite.create": nothing,
    "invite.list": nothing,
    "invite.revoke": an_invite,
    "transparency.head": nothing,
    "audit.head": nothing,
    "audit.list": nothing,
    "dashboard.link": nothing,
    "push.test": a_woken_device,
    "keys.show": nothing,
    "keys.rotate": nothing,
    "move.state": nothing,
    "figures.now": nothing,
    "figures.recent": nothing,
    "settings.show": nothing,
    "usage.show": nothing,
}
"""Arguments with which a command does what it is for; a command that is not here fails the tests below."""

ALL = TABLE.commands
CHANGING = [command for command in ALL if command.action is not None]
READING = [command for command in ALL if command.action is None]


@dataclass
class Asked:
    """A relay and its commands."""

    relay: TestRelay
    commands: Commands

    async def rows(self) -> list[dict[str, Any]]:
        """Told as `audit show` does, oldest first."""
        return [told_row(row) for row in await self.relay.services.store.audit.rows(0, 10_000)]

    def dump(self) -> list[str]:
        """All that the database holds, but for the time of the newest head of the transparency log."""
        with closing(sqlite3.connect(self.relay.folder / "relay.sqlite3")) as connection:
            return [line for line in connection.iterdump() if '"transparency_log"' not in line]


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    async with open_test_relay(store="sqlite", push={"webhook": True, "allow_hosts": ["127.0.0.1"]}) as relay:
        yield Asked(relay, commands_of(relay.services, "http://127.0.0.1:1"))


def test_every_command_has_a_sample() -> None:
    assert sorted(SAMPLES) == sorted(command.name for command in ALL)
    assert CHANGING
    assert READING


@pytest.mark.parametrize("command", CHANGING, ids=lambda command: command.name)
async def test_e4_a_command_that_changes_something_leaves_one_row(asked: Asked, command: Any) -> None:
    arguments = await SAMPLES[command.name](asked.commands)
    before = len(await asked.rows())
    await asked.commands.run(command.name, arguments, by=BY)
    # What the relay does because of it, such as erasing an id from this very log, is told as the relay's.
    (row,) = [row for row in (await asked.rows())[before:] if row["actor"] != "relay"]
    assert (row["action"], row["actor"], row["outcome"]) == (command.name, f"operator:{UID}", "done")


@pytest.mark.parametrize("command", CHANGING, ids=lambda command: command.name)
async def test_e4_a_refused_one_leaves_a_row_with_the_reason(asked: Asked, command: Any) -> None:
    before = len(await asked.rows())
    with pytest.raises(MalformedRequest):
        await asked.commands.run(command.name, {"nobody": "knows this"}, by=BY)
    (row,) = (await asked.rows())[before:]
    assert (row["action"], row["actor"]) == (command.name, f"operator:{UID}")
    assert (row["outcome"], row["subject"]) == ("malformed_request", "")
    assert "knows" not in repr(row)


@pytest.mark.parametrize("command", READING, ids=lambda command: command.name)
async def test_a_command_that_says_it_changes_nothing_changes_nothing(asked: Asked, command: Any) -> None:
    arguments = await SAMPLES[command.name](asked.commands)
    before = asked.dump()
    await asked.commands.run(command.name, arguments, by=BY)
    assert asked.dump() == before


async def test_an_unknown_command_is_not_found_and_not_recorded(asked: Asked) -> None:
    before = len(await asked.rows())
    with pytest.raises(NotFound):
        await asked.commands.run("account.crown", {}, by=BY)
    assert len(await asked.rows()) == before


async def test_what_was_done_to_what_is_told(asked: Asked) -> None:
    (owner,) = await asked.rows()  # the relay's own first invite
    assert (owner["actor"], owner["action"], owner["detail"]) == ("relay", "invite.create", "owner")
    made = await asked.commands.run("invite.create", {"role": "auditor"}, by=BY)
    name = (await asked.commands.run("invite.list", {}, by=BY))["invites"][-1]["name"]
    with pytest.raises(NotFound):
        await asked.commands.run("invite.revoke", {"name": "zzzz"}, by=BY)
    listed = (await asked.commands.run("audit.list", {"limit": 2}, by=BY))["rows"]
    assert [(row["subject"], row["detail"], row["outcome"]) for row in listed] == [
        ("", "", "not_found"),
        (f"invite:{name}", "auditor", "done"),
    ]
    assert made["link"] not in repr(listed)
    page = await asked.commands.run("audit.list", {"limit": 2, "before": listed[-1]["row"]}, by=BY)
    assert [row["row"] for row in page["rows"]] == [0]


OWN: CommandTable[None] = CommandTable()


@OWN.changes("config.reload", Arguments, Operation.RUN_THE_MACHINE)
async def _bare(_services: None, _given: Arguments, act: Act) -> dict[str, Any]:
    act.about(Party.account(bytes(32)), detail="7")  # and gives it to no store
    return {}


@OWN.changes("restore", Arguments, Operation.RUN_THE_MACHINE)
async def _broken(_services: None, _given: Arguments, _act: Act) -> dict[str, Any]:
    raise LookupError("a bug")


async def test_what_no_store_was_given_is_recorded_all_the_same(asked: Asked) -> None:
    audit = asked.relay.services.audit
    await OWN.run(None, audit, "config.reload", {}, by=BY)
    row = (await asked.rows())[-1]
    assert (row["action"], row["detail"], row["outcome"]) == ("config.reload", "7", "done")
    with pytest.raises(LookupError):
        await OWN.run(None, audit, "restore", {}, by=BY)
    row = (await asked.rows())[-1]
    assert (row["action"], row["outcome"]) == ("restore", RelayError.code)


def test_a_command_that_the_log_has_no_word_for_cannot_be_declared() -> None:
    table: CommandTable[None] = CommandTable()
    with pytest.raises(ValueError, match=r"account\.crown"):
        table.changes("account.crown", Arguments, Operation.GRANT_ROLES)(_bare)
    with pytest.raises(ValueError, match="two commands"):
        OWN.changes("config.reload", Arguments, Operation.RUN_THE_MACHINE)(_bare)


async def test_accounts_leave_rows_of_their_own(asked: Asked) -> None:

    async with aiohttp.ClientSession() as session:
        device = RawDevice(asked.relay.url, session, clock=asked.relay.services.clock.now_ms)
        invite = await asked.relay.invite(role="moderator")
        await device.register(invite, handle="a.handle")
    row = (await asked.rows())[-1]
    assert (row["action"], row["detail"], row["outcome"]) == ("account.register", "moderator", "done")
    assert row["actor"] == row["subject"]
    assert (row["is_day"], row["time_ms"] % 86_400_000) == (True, 0)  # no finer: of what else happened then
    assert "a.handle" not in repr(await asked.rows())
