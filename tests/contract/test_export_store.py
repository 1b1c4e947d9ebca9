"""The promises of telling all that is kept about an account, on every adapter; no table of the database is forgotten."""

from pathlib import Path
from typing import Any

import pytest

from relay.adapters.sqlite.exports import NOT_OF_ACCOUNTS, TABLES
from relay.adapters.sqlite.store import open_sqlite_store
from relay.ports.accounts import Account
from relay.ports.audit import AuditEntry
from relay.ports.blobs import Blob
from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.ports.exports import Cursor, Section
from relay.ports.holds import Hold
from relay.ports.invites import Invite
from relay.ports.mailboxes import Submission
from relay.ports.profiles import Profile
from relay.ports.pusher import PushAddress
from relay.ports.pushes import PendingWakeup, PushRegistration
from relay.ports.reserved_handles import ReservedHandle
from relay.ports.sealed_logs import LogQuota
from relay.ports.store import Store
from relay.wire.audit_rows import RELAY, Party
from relay.wire.prekeys import PrekeyKind
from tests.audit_logs import KEY
from tests.contract.people import NOW_MS, bytes_of, one_time_prekeys, registration, standing_prekeys


async def fill(store: Store, name: str) -> Account:
    """An account with something in every section; what it has of the same kind differs in length."""
    devices = [bytes_of((name, "phone")), bytes_of((name, "laptop"))]
    account = await store.accounts.register(
        registration(name, devices=devices, handle=f"{name}-before"), now_ms=NOW_MS
    )
    whose = account.account_id
    await store.accounts.set_handle(whose, name, None, now_ms=NOW_MS, kept_until_ms=NOW_MS + 9)
    salts = (bytes(16), bytes_of((name, "salt")))
    audited = AuditEntry(NOW_MS, "role.grant", RELAY, Party.account(whose), KEY.sign, salts)
    for number in range(3):
        token = DeliveryToken(bytes_of((name, number), 32), TokenClass.CONTACT)
        await store.delivery_tokens.add(whose, token, now_ms=NOW_MS)
        blob = Blob(
            bytes_of((name, "blob", number), 32), whose, 9 + number, bytes(32), 0, False, NOW_MS, NOW_MS + 1
        )
        await store.blobs.create(blob, quota_bytes=100)
        for log in ("notes", "settings"):
            quota = LogQuota(100, 10_000)
            await store.account_logs.append(
                whose, log, number, bytes(5), now_ms=NOW_MS, quota=quota, max_logs=16
            )
        await store.mailboxes.append(
            [Submission(bytes_of((name, "envelope", number)), 60, (bytes(100),), ((devices[1], 0),))],
            now_ms=NOW_MS + number,
        )
        await store.audit.append(audited)
    await store.reserved_handles.reserve(ReservedHandle(f"{name}-too", whose))
    for number in range(3):
        invite = Invite(bytes_of((name, "invite", number), 32), "member", 1, None, NOW_MS, made_by=whose)
        await store.invites.create(invite)
    await store.holds.put(Hold(whose, "case-7", NOW_MS, NOW_MS + 9))
    await store.profiles.put(whose, Profile(1, bytes(9)))
    for device_id in devices:
        address = PushAddress("webhook", f"https://{name}.example/")
        await store.pushes.register(PushRegistration(device_id, bytes(16), address, bytes(16)))
    await store.pushes.note((PendingWakeup(devices[0], bytes(16), NOW_MS, NOW_MS, 0, urgent=False),), ())
    keys = [*standing_prekeys(), *one_time_prekeys(PrekeyKind.ONE_TIME, 7, 4)]
    await store.prekeys.append(devices[0], keys)
    await store.accounts.spend_nonce(devices[0], bytes(16), expires_at_ms=NOW_MS + 1)
    return account


async def everything(store: Store, account_id: bytes, *, limit: int = 1_000) -> dict[Section, list[Any]]:
    found: dict[Section, list[Any]] = {}
    for section in Section:
        after: Cursor | None = None
        found[section] = []
        while True:
            rows, after = await store.exports.page(section, account_id, after=after, limit=limit)
            assert len(rows) <= limit
            found[section] += rows
            if after is None:
                break
    return found


async def test_everything_about_an_account_is_told_and_nothing_of_another(store: Store) -> None:
    anna, bert = [await fill(store, name) for name in ("anna", "bert")]
    told = await everything(store, anna.account_id)
    assert {section for section, rows in told.items() if not rows} == set()
    (account,) = told[Section.ACCOUNT]
    assert (account["account_id"], account["role"], account["suspended"]) == (
        anna.account_id,
        "member",
        False,
    )
    usage = [account[name] for name in ("envelopes", "envelope_bytes", "blobs", "blob_bytes", "log_bytes")]
    assert usage == [3, 300, 3, 30, 30]
    assert told[Section.HANDLES] == [{"handle": "anna", "findable": False}]
    assert [row["until_ms"] for row in told[Section.KEPT_HANDLES]] == [NOW_MS + 9]
    assert [row["device_id"] for row in told[Section.DEVICES]] == sorted(
        one.device_id for one in anna.devices
    )
    assert sorted(row["nonces"] for row in told[Section.DEVICES]) == [0, 1]
    assert [row["version"] for row in told[Section.MANIFESTS]] == [1]
    assert len(told[Section.DELIVERY_TOKENS]) == 3
    assert sorted(row["keys"] for row in told[Section.PREKEYS]) == [1, 1, 1, 4]
    assert sorted(
        (row["envelopes"], row["envelope_bytes"], row["oldest_received_at_ms"])
        for row in told[Section.MAILBOXES]
        if row["envelopes"]
    ) == [(3, 300, NOW_MS)]
    assert [row["length"] for row in told[Section.BLOBS]] == [9, 10, 11]
    assert all("blob_id" not in row and "row" not in row for row in told[Section.BLOBS])
    assert [(row["name"], row["next_index"], row["bytes"]) for row in told[Section.LOGS]] == [
        ("notes", 3, 15),
        ("settings", 3, 15),
    ]
    assert [(row["name"], row["index"], row["bytes"]) for row in told[Section.LOG_ENTRIES]] == [
        (name, index, 5) for name in ("notes", "settings") for index in range(3)
    ]
    assert [(row["kind"], row["version"]) for row in told[Section.TRANSPARENCY_LEAVES]] == [(1, 1), (2, 1)]
    assert [(row["action"], row["as"]) for row in told[Section.AUDIT_ROWS]] == [("role.grant", "subject")] * 3
    assert bert.account_id not in [value for rows in told.values() for row in rows for value in row.values()]


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_together_are_all_rows_once(store: Store, limit: int) -> None:
    anna = await fill(store, "anna")
    await fill(store, "bert")
    assert await everything(store, anna.account_id, limit=limit) == await everything(store, anna.account_id)


async def test_of_an_account_that_there_is_not_nothing_is_told(store: Store) -> None:
    await fill(store, "anna")
    assert not any((await everything(store, bytes(32))).values())


async def test_no_table_of_the_database_is_forgotten(tmp_path: Path) -> None:
    """Each has a section that is not empty when it has something about an account, or a reason why it has none."""
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=4096) as store:
        names = {
            name
            for (name,) in await store.exports._reader.rows(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        }
        assert names - TABLES.keys() - NOT_OF_ACCOUNTS.keys() == set(), (
            "a new table: what does it hold of an account?"
        )
        assert (TABLES.keys() | NOT_OF_ACCOUNTS.keys()) - names == set(), "no such table any more"
        assert TABLES.keys() & NOT_OF_ACCOUNTS.keys() == set()
        assert set(TABLES.values()) == set(Section)
        # A column that names an account or one of its devices is no matter of a table without a section.
        naming = {
            table
            for table in NOT_OF_ACCOUNTS
            for (column,) in await store.exports._reader.rows(
                "SELECT name FROM pragma_table_info(?)", (table,)
            )
            if column in ("account_id", "owner_id", "device_id")
        }
        assert naming == set()
