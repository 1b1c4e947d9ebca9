"""A deletion that was cut at any of its steps is finished later; after it the disk tells nothing of the account."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from relay.adapters.sqlite.log_audit import audit_log
from relay.ports.accounts import Account
from relay.ports.blobs import Blob
from relay.ports.mailboxes import Submission
from relay.services.audit import Act, Action
from relay.services.roles import Authority
from relay.testing import TestRelay, open_test_relay
from relay.wire.errors import RelayError, Unavailable
from relay.wire.links import encode_id
from tests.contract.people import NOW_MS, bytes_of, registration

STEPS = ("files.remove", "blobs.remove", "audit.erase", "deletions.finish", "deletions.erase_traces")
HANDLE = "wilhelmina.the.searched.for"


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[TestRelay]:
    async with open_test_relay(store="sqlite", folder=tmp_path) as opened:
        yield opened


async def a_full_account(relay: TestRelay) -> Account:
    """One among many, with everything that an account can have, named in the audit log."""
    services = relay.services
    store, files = services.store, services.blobs._files
    for number in range(150):
        await store.accounts.register(registration(number, handle=f"person.{number}"), now_ms=NOW_MS)
    account = await store.accounts.register(registration("her", handle=HANDLE), now_ms=NOW_MS)
    for number in range(150, 300):
        await store.accounts.register(registration(number, handle=f"person.{number}"), now_ms=NOW_MS)
    device_id = account.devices[0].device_id
    for number in range(40):
        sent = Submission(bytes_of(number), 600, (bytes_of(number, 4_000),), ((device_id, 0),))
        await store.mailboxes.append([sent], now_ms=services.clock.now_ms())
    expires = services.clock.now_ms() + 3_600_000
    for number in range(3):
        blob_id = bytes_of(("blob", number), 32)
        blob = Blob(blob_id, account.account_id, 9, bytes(32), 0, False, NOW_MS, expires)
        await store.blobs.create(blob, quota_bytes=100)
        await files.append(blob_id, offset=0, data=b"nine byte")
        await files.sync(blob_id)
    await store.accounts.spend_nonce(account.account_id, bytes(16), expires_at_ms=expires)
    await services.administration.suspend(HANDLE, act=act(relay, Action.ACCOUNT_SUSPEND))
    return account


def act(relay: TestRelay, action: Action) -> Act:
    return relay.services.audit.act(action, Authority.of_machine(1))


def occurrences(folder: Path, wanted: bytes) -> dict[str, int]:
    """How often these bytes, or their text forms, are in each file of the data folder."""
    forms = {wanted, wanted.hex().encode(), wanted.hex().upper().encode()}
    if len(wanted) == 32:
        forms.add(encode_id(wanted).encode())
    found = {
        str(path.relative_to(folder)): sum(path.read_bytes().count(form) for form in forms)
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {name: count for name, count in found.items() if count}


async def check_gone(relay: TestRelay, account: Account) -> None:
    services = relay.services
    assert await services.store.accounts.account(account.account_id) is None
    assert await services.blobs._files.list(after=b"", limit=9) == ()
    assert occurrences(relay.folder, HANDLE.encode()) == {}
    for device in account.devices:
        assert occurrences(relay.folder, device.device_id) == {}
        assert occurrences(relay.folder, device.signing_key) == {}
    with closing(sqlite3.connect(relay.folder / "relay.sqlite3")) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        holding = {
            table
            for table in tables
            for row in connection.execute(f'SELECT * FROM "{table}"')
            if any(isinstance(value, bytes) and account.account_id in value for value in row)
        }
        # What everybody was shown stays: the account's id, a hash, in the leaves of the transparency log.
        assert holding == {"transparency_leaves"}
    assert audit_log(relay.folder / "relay.sqlite3").faults == ()


async def test_after_a_deletion_database_log_and_blobs_tell_nothing(relay: TestRelay) -> None:
    account = await a_full_account(relay)
    assert occurrences(relay.folder, HANDLE.encode())
    await relay.services.administration.delete(HANDLE, act=act(relay, Action.ACCOUNT_DELETE))
    await check_gone(relay, account)
    # Two leaves, each of them once in the table and once in its index.
    assert sum(occurrences(relay.folder, account.account_id).values()) == 4
    rows = await relay.services.audit.newest(since_ms=0, before=None, limit=2)
    assert [row.details.action for row in rows if row.details] == ["audit.erase", "account.delete"]


@pytest.mark.parametrize("step", STEPS)
async def test_a_deletion_that_was_cut_is_finished_by_housekeeping(
    relay: TestRelay, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await a_full_account(relay)
    services = relay.services
    owner, _, method = step.partition(".")
    places = {
        "files": services.blobs._files,
        "blobs": services.store.blobs,
        "audit": services.store.audit,
        "deletions": services.store.deletions,
    }

    async def cut(*_given: object, **_named: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(places[owner], method, cut)
        with pytest.raises(RelayError):
            await services.administration.delete(HANDLE, act=act(relay, Action.ACCOUNT_DELETE))
    while await services.deletion.resume():
        pass
    await check_gone(relay, account)
