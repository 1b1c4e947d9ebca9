"""The relay of a test: a data folder of its own, port 0, a clock and randomness that may be the test's."""

import io
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from relay.adapters.data_folder import open_data_folder
from relay.app import Relay, open_relay
from relay.composition import Machine
from relay.config import load_settings
from relay.services.audit import Action
from relay.services.roles import THE_RELAY
from relay.services.services import Services
from relay.states import OpenState, open_memory_state, open_postgres_state, open_sqlite_state

LENIENT: Final = {"stranger_burst": 1_000_000, "stranger_mailbox_percent": 1_000_000, "public_work_bits": 6}
"""Limits for tests in which people who never met write a great deal."""

_OPEN: Final[dict[str, OpenState]] = {
    "memory": open_memory_state,
    "sqlite": open_sqlite_state,
    "postgres": open_postgres_state,
}


@dataclass(frozen=True, slots=True)
class TestRelay:
    """A relay that runs until its block ends; `log` holds what it logged so far."""

    __test__ = False  # pytest: not a test

    url: str
    owner_invite: str | None
    folder: Path
    services: Services = field(repr=False)
    log: io.StringIO = field(repr=False)
    admin_url: str | None = None

    async def invite(self, *, role: str = "member", uses: int = 1, hosts: Sequence[bytes] = ()) -> str:
        """A new invite link; for guests of these accounts (32 B ids)."""
        act = self.services.audit.act(Action.INVITE_CREATE, THE_RELAY)
        made = self.services.invites.create(role=role, uses=uses, ttl_seconds=None, hosts=hosts, act=act)
        return str(await made)


def _told(relay: Relay, folder: Path, log: io.StringIO) -> TestRelay:
    invite = None if relay.owner_invite is None else str(relay.owner_invite)
    return TestRelay(relay.url, invite, folder, relay.services, log, relay.admin_url)


@asynccontextmanager
async def open_test_relay(
    *,
    store: Literal["memory", "sqlite", "postgres"] = "memory",
    folder: Path | None = None,
    machine: Machine | None = None,
    **settings: Any,
) -> AsyncIterator[TestRelay]:
    """A relay on a free port of loopback, in `folder` (default: a new one, removed at the end).

    With `store="postgres"`, `postgres` is a table with its `url`, and `origin` is needed.
    With the memory store, accounts and mailboxes are gone at the end whatever the folder.

    `settings` are those of relay.config by name; nested ones as tables, like `limits={"mailbox_envelopes": 3}`. Unless they
    say otherwise, strangers may write as much as they like, for little work (LENIENT).
    """
    log = io.StringIO()
    machine = replace(machine or Machine(), log_stream=log)
    async with AsyncExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokenim-relay-")))
        data = stack.enter_context(open_data_folder(folder))
        effective = load_settings(
            file=None,
            environment={},
            command_line={
                "listen": "127.0.0.1:0",
                "drain_seconds": 2.0,
                **settings,
                "limits": {**LENIENT, **settings.get("limits", {})},
                "data": folder,
            },
        )
        relay = await stack.enter_async_context(open_relay(effective, data, machine, open_state=_OPEN[store]))
        yield _told(relay, folder, log)
