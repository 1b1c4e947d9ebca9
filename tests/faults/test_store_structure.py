"""What the database can hold at all, and how much work it is: counted, never timed."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from relay.adapters.sqlite import multi_row
from relay.adapters.sqlite.connection import StoreUnusable
from relay.adapters.sqlite.mailbox_group import TARGETS_A_TURN, _Rows
from relay.adapters.sqlite.records import MERGE_AT, SLICE_ROWS
from relay.adapters.sqlite.store import open_sqlite_store
from relay.adapters.sqlite.writer import Transaction
from relay.ports.mailboxes import MissedRange, Page, StoredEnvelope, Submission
from relay.wire.errors import Unavailable
from relay.wire.frames import MissedReason, Outcome
from tests.contract.people import NOW_MS, bytes_of, new_account, new_device

COLUMNS_OF_AN_ENVELOPE = {
    *(
        "envelope_number",
        "device_number",
        "sequence",
        "expires_at_ms",
        "bytes",
        "quarantined",
        "received_at_ms",
    ),
    *("envelope_id", "digest", "shared_number", "ciphertext"),
}


def columns(database: Path) -> dict[str, set[str]]:
    with closing(sqlite3.connect(database)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        return {
            table: {row[1] for row in connection.execute(f"PRAGMA table_info({table})")} for table in tables
        }


@pytest.mark.proves("M-REACH-03")
async def test_c2_no_column_can_hold_a_sender_or_an_address(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0):
        pass
    found = columns(tmp_path / "relay.db")
    assert found["envelopes"] == COLUMNS_OF_AN_ENVELOPE
    assert found["shared_ciphertexts"] == {"shared_number", "ciphertext"}
    named = {(table, column) for table, names in found.items() for column in names}
    for word in (
        "sender",
        "from_device",
        "from_account",
        "asker",
        "source",
        "ip",
        "address",
        "peer",
        "remote",
        "agent",
    ):
        assert [each for each in named if word in each[1].split("_")] == []
    owners = {table for table, column in named if column in {"account_id", "owner_id", "device_id"}}
    assert owners == {
        *(
            "accounts",
            "manifests",
            "devices",
            "handles",
            "delivery_tokens",
            "nonces",
            "blobs",
            "account_logs",
        ),
        *("account_deletions", "kept_handles", "holds", "held_envelopes", "profiles"),
        *("guests", "guest_hosts", "reserved_handles", "push_registrations", "push_wakeups"),
    }


async def test_c8_no_column_of_a_group_log_can_hold_an_account_or_a_device(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0):
        pass
    found = columns(tmp_path / "relay.db")
    assert found["group_logs"] == {
        *("log_number", "log_id", "write_key", "read_token_hash"),
        *("first_index", "next_index", "bytes", "used_day"),
    }
    assert found["group_log_entries"] == {
        *("log_number", "entry_index", "at_ms", "signed_by", "digest", "entry")
    }
    for table in ("group_logs", "group_log_entries"):
        others = {name for name, names in found.items() if "log_number" in names and name != table}
        assert others == {"account_logs", "account_log_entries", "group_logs", "group_log_entries"} - {table}
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        keys = {
            (table, row[2])
            for table in found
            for row in connection.execute(f"PRAGMA foreign_key_list({table})")
            if "group_log" in table + row[2]
        }
    assert keys == {("group_log_entries", "group_logs")}


async def test_every_column_of_the_schema_is_explained() -> None:
    folder = Path(__file__).parents[2] / "relay/adapters/sqlite/migrations"
    for file in folder.glob("*.sql"):
        inside = False
        for line in file.read_text("utf-8").splitlines():
            if line.startswith("CREATE TABLE"):
                inside = True
            elif line.startswith(")"):
                inside = False
            elif inside and not line.strip().startswith("PRIMARY KEY"):
                assert " -- " in line, f"{file.name}: {line}"


async def test_a_thousand_envelopes_at_once_take_a_handful_of_statements_and_one_commit_a_group(
    tmp_path: Path,
) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        devices = [await new_device(store, name) for name in range(20)]

        def wishes(number: int) -> list[Submission]:
            body = bytes_of(number, 1_024)
            return [
                Submission(bytes_of((number, device)), 1_000, (body,), ((device, 0),)) for device in devices
            ]

        before = (store.counts.commits, store.counts.statements, store.counts.hops)
        await asyncio.gather(*(store.mailboxes.append(wishes(number), now_ms=NOW_MS) for number in range(50)))
        await asyncio.gather(*(store.mailboxes.ack(device, up_to=50) for device in devices))
        commits, statements = store.counts.commits - before[0], store.counts.statements - before[1]
        assert store.counts.hops - before[2] <= 2 * commits
        assert commits <= 4
        assert statements <= 24
        assert [(await store.mailboxes.state(device)).envelopes for device in devices] == [0] * 20


def test_statements_of_many_rows_are_few_and_filled_up_by_less_than_a_half() -> None:
    filled = [multi_row.padded_rows(rows) for rows in range(1, multi_row.MAX_ROWS + 1)]
    assert len(set(filled)) == 18
    assert all(rows <= more < rows * 1.5 for rows, more in enumerate(filled, 1))


def test_no_parameter_is_asked_for_an_adapter_in_vain() -> None:
    for value in (b"bytes", None):
        adapter = sqlite3.adapters[type(value), sqlite3.PrepareProtocol]
        assert adapter(value) is value


async def test_a_fan_out_stores_its_ciphertext_once_and_forgets_it_with_the_last(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        account = await new_account(store, "anna", [bytes_of(number) for number in range(16)])
        devices = [device.device_id for device in account.devices]
        body = bytes_of("body", 200_000)
        await store.mailboxes.append(
            [Submission(bytes_of("id"), 1_000, (body,), tuple((device, 0) for device in devices))],
            now_ms=NOW_MS,
        )

        async def shared() -> list[tuple[int, int]]:
            return [
                (size, waiting)
                for size, waiting in await store._reader.rows(
                    "SELECT length(ciphertext), waiting FROM shared_ciphertexts JOIN shared_waiting USING (shared_number)"
                )
            ]

        assert await shared() == [(200_000, 16)]
        assert await store._reader.rows("SELECT count(*) FROM envelopes WHERE ciphertext IS NOT NULL") == [
            (0,)
        ]
        for device in devices[:15]:
            await store.mailboxes.ack(device, up_to=1)
        assert await shared() == [(200_000, 1)]
        await store.mailboxes.expire(now_ms=NOW_MS + 1_000_000, limit=10)
        assert await shared() == []
        assert await store._reader.rows("SELECT count(*) FROM shared_waiting") == [(0,)]


async def page(store: object, device: bytes) -> Page:
    return await store.mailboxes.read(  # type: ignore[attr-defined,no-any-return]
        device, after=0, max_envelopes=10, max_bytes=10**6, now_ms=NOW_MS
    )


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
async def test_f7_a_damaged_ciphertext_is_never_given_out(tmp_path: Path, shared: bool) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        devices = [await new_device(store, name) for name in range(2 if shared else 1)]
        for number in range(3):
            targets = tuple((device, 0) for device in devices)
            one = Submission(bytes_of(number), 1_000, (bytes_of(("body", number), 500),), targets)
            await store.mailboxes.append([one], now_ms=NOW_MS)
    table = "shared_ciphertexts" if shared else "envelopes"
    with closing(sqlite3.connect(tmp_path / "relay.db")) as raw:
        ((row, ciphertext),) = raw.execute(
            f"SELECT rowid, ciphertext FROM {table} ORDER BY rowid LIMIT 1 OFFSET 1"
        )
        flipped = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
        raw.execute(f"UPDATE {table} SET ciphertext = ? WHERE rowid = ?", (flipped, row))
        raw.commit()
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        for device in devices:
            first, gap, third = (await page(store, device)).items
            assert gap == MissedRange(2, 2, MissedReason.REMOVED)
            assert [each.sequence for each in (first, third) if isinstance(each, StoredEnvelope)] == [1, 3]
        again = Submission(bytes_of(1), 1_000, (bytes_of(("body", 1), 500),), ((devices[0], 0),))
        answer = (await store.mailboxes.append([again], now_ms=NOW_MS)).appended[0]
        assert (answer.outcomes, answer.sequences) == ((Outcome.STORED,), (0,))


async def test_f11_a_merge_that_fails_forgets_no_record_and_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wishes(start: int, body: bytes = b"body") -> list[Submission]:
        return [
            Submission(number.to_bytes(16, "big"), 1_000, (body,), ((device, 0),))
            for number in range(start, start + 1_000)
        ]

    async def fails(_transaction: Transaction) -> None:
        raise LookupError("a bug")

    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        device, records = await new_device(store, "anna"), store.mailboxes._records
        whole = records._merge_slice
        with monkeypatch.context() as patched:
            # The second slice of each merge fails.
            patched.setattr(
                records,
                "_merge_slice",
                lambda keys, last: fails if keys[0] != min(records.merging) else whole(keys, last),
            )
            for start in range(0, MERGE_AT + 2_000, 1_000):
                await store.mailboxes.append(wishes(start), now_ms=NOW_MS)
                await store.mailboxes.ack(device, up_to=start + 1_000)
        for start in (0, 3_000, MERGE_AT):
            result = await store.mailboxes.append(wishes(start, b"changed"), now_ms=NOW_MS)
            assert {each.outcomes[0] for each in result.appended} == {Outcome.CONFLICT}
        await store.mailboxes.append(wishes(MERGE_AT + 2_000), now_ms=NOW_MS)
        for _ in range(MERGE_AT // SLICE_ROWS + 3):
            await store.invites.remove_expired(now_ms=NOW_MS, limit=1)
        ((merged,),) = await store._reader.rows("SELECT count(*) FROM records")
        assert merged >= MERGE_AT
        assert (records.merging, len(records.recent) < 3_000) == ({}, True)


async def test_f11_records_are_merged_and_found_afterwards_and_after_a_restart(tmp_path: Path) -> None:
    def wish(number: int, device: bytes, body: bytes = b"body") -> Submission:
        return Submission(number.to_bytes(16, "big"), 1_000, (body,), ((device, 0),))

    stored = (MERGE_AT // 1_000 + 2) * 1_000
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        device = await new_device(store, "anna")
        for start in range(0, stored, 1_000):
            await store.mailboxes.append(
                [wish(n, device) for n in range(start, start + 1_000)], now_ms=NOW_MS
            )
            await store.mailboxes.ack(device, up_to=start + 1_000)
        for _ in range(
            MERGE_AT // SLICE_ROWS + 1
        ):  # each slice has a group of its own, and these come behind it
            await store.invites.remove_expired(now_ms=NOW_MS, limit=1)
        ((merged,),) = await store._reader.rows("SELECT count(*) FROM records")
        ((recent,),) = await store._reader.rows(
            "SELECT coalesce(sum(length(batch)), 0) / 48 FROM recent_records"
        )
        assert (merged >= MERGE_AT, merged + recent) == (True, stored)
        for number in (0, MERGE_AT - 1, stored - 1):
            result = await store.mailboxes.append(
                [wish(number, device, b"changed"), wish(number, device)], now_ms=NOW_MS
            )
            assert [each.outcomes[0] for each in result.appended] == [Outcome.CONFLICT, Outcome.STORED]
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        for number in (0, MERGE_AT - 1, stored - 1):
            result = await store.mailboxes.append(
                [wish(number, device, b"changed"), wish(number, device)], now_ms=NOW_MS
            )
            assert [each.outcomes[0] for each in result.appended] == [Outcome.CONFLICT, Outcome.STORED]


async def test_one_process_alone_opens_the_store(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0):
        with pytest.raises(StoreUnusable, match="another relay is running"):
            async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0):
                pytest.fail("it opened")
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        await store.check()


async def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "relay.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreUnusable, match="restore it from a backup") as refused:
        async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0):
            pytest.fail("it opened")
    assert "\n" not in str(refused.value)


async def test_calls_in_a_group_that_fails_before_their_turn_are_told_and_the_next_ones_work(
    tmp_path: Path,
) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        device = await new_device(store, "anna")
        one = Submission(bytes_of("id"), 1_000, (b"body",), ((device, 0),))

        async def broken(transaction: object) -> None:
            raise RuntimeError("a bug")

        told = await asyncio.gather(
            store._writer.run(broken, single=True),
            store.mailboxes.append([one], now_ms=NOW_MS),
            store.mailboxes.ack(device, up_to=0),
            return_exceptions=True,
        )
        assert [type(each) for each in told] == [Unavailable] * 3
        assert (await store.mailboxes.append([one], now_ms=NOW_MS)).appended[0].sequences == (1,)
        assert (await store.mailboxes.state(device)).envelopes == 1


async def test_an_acknowledgement_writes_no_gap_but_those_it_falls_on(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        device = await new_device(store, "anna")
        await store.mailboxes.append(
            [
                Submission(bytes_of(("id", number), 16), 60 if number % 2 else 3_600, (b"x",), ((device, 0),))
                for number in range(600)
            ],
            now_ms=NOW_MS,
        )
        await store.mailboxes.expire(now_ms=NOW_MS + 60_000, limit=1_000)
        with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
            connection.execute("CREATE TABLE touched (at INTEGER)")
            for event in ("INSERT", "UPDATE", "DELETE"):
                connection.execute(
                    f"CREATE TRIGGER seen_{event} AFTER {event} ON missed BEGIN INSERT INTO touched VALUES (1); END"
                )
            connection.commit()
        await store.mailboxes.ack(device, up_to=4, also=(7, 8, 100))
        with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
            assert connection.execute("SELECT count(*) FROM touched").fetchone() == (4,)
            assert connection.execute("SELECT count(*) FROM missed").fetchone() == (296,)


async def test_a_fan_out_gives_others_their_turn_while_it_is_placed(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "relay.db", reserve_bytes=0) as store:
        group = store.mailboxes._group
        targets = tuple((bytes_of(("device", number), 16), 0) for number in range(3 * TARGETS_A_TURN))
        rows, turns = _Rows(merged={}, recent={}, merging={}), 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        waiting = asyncio.create_task(others())
        transaction = Transaction(
            store._writer.connection, store.counts, store._writer.keys, freeing_only=False
        )
        submission = Submission(bytes_of("id", 16), 60, (b"x",), targets)
        answer = await group._place(transaction, submission, (b"",), NOW_MS, rows, {})
        waiting.cancel()
        assert answer.outcomes == (Outcome.UNKNOWN_DEVICE,) * len(targets)
        assert turns >= 2
