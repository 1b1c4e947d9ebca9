"""E4: what was changed, removed or inserted in the audit log behind the relay's back is found and named, and nothing else is."""

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from relay.adapters.column_keys import NAME as KEYS_NAME
from relay.adapters.sqlite.audit import ROW_COLUMNS, row_of
from relay.adapters.sqlite.audit_file import open_audit_file
from relay.adapters.sqlite.connection import StoreUnusable
from relay.adapters.sqlite.migrate import shipped_migrations
from relay.adapters.sqlite.store import open_sqlite_store
from relay.services.audit import Action
from relay.services.audit_check import BLOCK_ROWS, MOST_FAULTS, AuditVerdict, check_rows
from relay.session.proof import RelayKey
from relay.wire.audit_rows import AuditHead, AuditRow, Details, Party, Tip
from tests.audit_logs import KEY, OTHER_KEY, audit_over, verdict_of_file
from tests.contract.people import NOW_MS, bytes_of

ANNA, BERT = (bytes_of(name, 32) for name in ("anna", "bert"))
SIZE = 12  # of the log in most tests: its newest row is 11


async def make_log(path: Path, size: int = SIZE, *, key: RelayKey = KEY, before: Sequence[int] = ()) -> None:
    """Rows of anna and bert, a second apart; `before`: details of so many were dropped, step by step."""
    async with open_sqlite_store(path, reserve_bytes=0) as store:
        audit = audit_over(store.audit, key=key)
        for number in range(size):
            entry = audit.by_account(Action.MANIFEST_CHANGE, ANNA if number % 2 else BERT)
            await store.audit.append(replace(entry, at_ms=NOW_MS + 1_000 * number))
        for number in before:
            dropping = replace(audit.by_relay(Action.AUDIT_DROP), at_ms=NOW_MS + 1_000 * size)
            await store.audit.drop_details(before_ms=NOW_MS + 1_000 * number, entry=dropping, limit=9_999)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "relay.sqlite3"
    asyncio.run(make_log(path))
    return path


@pytest.fixture
def database(original: Path, tmp_path: Path) -> Path:
    shutil.copy(original.with_name(KEYS_NAME), tmp_path)
    return Path(shutil.copy(original, tmp_path / "relay.sqlite3"))


def tamper(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def told(verdict: AuditVerdict) -> list[tuple[int | None, str]]:
    return [(fault.row, fault.told) for fault in verdict.faults]


def rows_in(database: Path) -> list[AuditRow]:
    with open_audit_file(database) as snapshot:
        return list(snapshot.rows)


def head_at(database: Path, size: int) -> AuditHead:
    tip = Tip()
    for row in rows_in(database)[:size]:
        tip = tip.with_leaf(row.leaf_hash, row.signature or b"")
    return AuditHead(size, tip.root, NOW_MS)


def put(database: Path, rows: Sequence[AuditRow], tip: Tip) -> None:
    """Write a whole log in place of the one that is there."""
    values = []
    for row in rows:
        kept: Sequence[object] = (None,) * 11
        if (said := row.details) is not None:
            actor, subject = said.actor, said.subject
            kept = (
                *(said.action, said.outcome, said.detail),
                *(actor.kind, actor.id, actor.salt, actor.hash),
                *(subject.kind, subject.id, subject.salt, subject.hash),
            )
        values.append((row.index, row.at_ms, row.leaf_hash, row.signature, *kept))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM audit_rows")
        marks = ",".join("?" * 15)
        connection.executemany(f"INSERT INTO audit_rows ({ROW_COLUMNS}) VALUES ({marks})", values)
        state = (tip.size, b"".join(tip.peaks), tip.signature)
        connection.execute("UPDATE audit_log SET size = ?, peaks = ?, signature = ?", state)


async def test_what_the_relay_wrote_fits(database: Path) -> None:
    verdict = verdict_of_file(database, head_at(database, 0), head_at(database, 5), head_at(database, SIZE))
    assert told(verdict) == []
    assert (verdict.rows, verdict.root) == (SIZE, head_at(database, SIZE).root)


ZEROS = "zeroblob(64)"
SOMEBODY = f"x'{bytes_of('somebody', 32).hex()}'"
COPY = f"INSERT INTO audit_rows ({ROW_COLUMNS}) SELECT"
REST = ROW_COLUMNS.partition(",")[2]


@pytest.mark.parametrize(
    ("statement", "row", "words"),
    [
        ("UPDATE audit_rows SET at_ms = at_ms + 1 WHERE row_index = 3", 3, "was changed"),
        ("UPDATE audit_rows SET action = 'role.grant' WHERE row_index = 3", 3, "was changed"),
        ("UPDATE audit_rows SET outcome = 'not_allowed' WHERE row_index = 3", 3, "was changed"),
        ("UPDATE audit_rows SET detail = 'owner' WHERE row_index = 11", 11, "was changed"),
        ("UPDATE audit_rows SET actor_kind = 4 WHERE row_index = 0", 0, "was changed"),
        (f"UPDATE audit_rows SET actor_id = {SOMEBODY} WHERE row_index = 3", 3, "was changed"),
        (f"UPDATE audit_rows SET subject_id = {SOMEBODY} WHERE row_index = 3", 3, "was changed"),
        ("UPDATE audit_rows SET subject_salt = zeroblob(16) WHERE row_index = 3", 3, "was changed"),
        ("UPDATE audit_rows SET subject_kind = 400 WHERE row_index = 3", 3, "is no row"),
        ("UPDATE audit_rows SET at_ms = -1 WHERE row_index = 3", 3, "is no row"),
        ("UPDATE audit_rows SET outcome = NULL WHERE row_index = 3", 3, "is no row"),
        ("UPDATE audit_rows SET actor_id = NULL WHERE row_index = 3", 3, "is no row"),
        (f"UPDATE audit_rows SET leaf_hash = {SOMEBODY} WHERE row_index = 3", 3, "hash in the tree is another"),
        (f"UPDATE audit_rows SET leaf_hash = {SOMEBODY} WHERE row_index = 11", 11, "hash in the tree is another"),
        (f"UPDATE audit_rows SET signature = {ZEROS} WHERE row_index = 3", 3, "signature is another"),
        (f"UPDATE audit_rows SET signature = {ZEROS} WHERE row_index = 11", 11, "has not signed it like this"),
        ("UPDATE audit_rows SET signature = NULL WHERE row_index = 3", 3, "has lost its signature"),
        ("UPDATE audit_rows SET signature = NULL WHERE row_index = 11", 11, "has lost its signature"),
        ("UPDATE audit_rows SET action = NULL WHERE row_index = 3", 3, "has lost its details"),
        ("DELETE FROM audit_rows WHERE row_index = 0", 0, "is gone"),
        ("DELETE FROM audit_rows WHERE row_index = 3", 3, "is gone"),
        ("DELETE FROM audit_rows WHERE row_index = 11", 11, "is gone"),
        ("DELETE FROM audit_rows WHERE row_index >= 9", 9, "and those up to row 11 are gone"),
        ("DELETE FROM audit_rows", 0, "and those up to row 11 are gone"),
        (f"{COPY} 12, {REST} FROM audit_rows WHERE row_index = 11", 12, "or inserted"),
        (f"{COPY} 500, {REST} FROM audit_rows WHERE row_index = 11", 500, "was inserted after the newest row"),
        (f"{COPY} -1, {REST} FROM audit_rows WHERE row_index = 11", -1, "was inserted"),
        ("UPDATE audit_log SET peaks = zeroblob(64)", None, "table audit_log"),
        (f"UPDATE audit_log SET signature = {ZEROS}", None, "table audit_log"),
        ("UPDATE audit_log SET size = 11", None, "table audit_log"),
        ("UPDATE audit_log SET size = 13", None, "table audit_log"),
    ],
)  # fmt: skip
def test_e4_a_changed_removed_or_inserted_row_is_named_alone(
    database: Path, statement: str, row: int | None, words: str
) -> None:
    tamper(database, statement)
    found = told(verdict_of_file(database))
    assert [fault for fault in found if fault[0] == row and words in fault[1]], found
    assert [fault for fault in found if fault[0] != row] == [], found


@pytest.mark.parametrize(
    ("statements", "faults"),
    [
        (
            [f"{COPY} {row}, {REST} FROM audit_rows WHERE row_index = 11" for row in (500, 501, 600)],
            [(500, "and those up to row 501 were inserted"), (501, "or inserted"), (600, "was inserted")],
        ),
        (
            [f"{COPY} 500, {REST} FROM audit_rows WHERE row_index = 11", "UPDATE audit_log SET size = 501"],
            [(500, "was inserted"), (None, "table audit_log")],
        ),
        (
            [f"{COPY} 500, {REST} FROM audit_rows WHERE row_index = 11", "DELETE FROM audit_rows WHERE row_index IN (3, 11)"],
            [(3, "is gone"), (11, "is gone"), (500, "was inserted")],
        ),
    ],
)  # fmt: skip
def test_e4_rows_beyond_the_end_of_the_log_are_named_as_inserted_and_none_as_gone(
    database: Path, statements: Sequence[str], faults: Sequence[tuple[int | None, str]]
) -> None:
    tamper(database, *statements)
    found = told(verdict_of_file(database))
    assert {row for row, _ in found} == {row for row, _ in faults}, found
    for row, words in faults:
        assert [fault for fault in found if fault[0] == row and words in fault[1]], found


def forged(row: AuditRow, before: bytes) -> AuditRow:
    """The row with another account in it and a leaf that fits that: all that can be done without the relay's key."""
    assert row.details is not None
    somebody = replace(row.details.subject, id=bytes_of("somebody", 32))
    details = replace(row.details, subject=somebody)
    return replace(row, details=details, leaf_hash=details.hash(row.at_ms, before))


def tip_over(rows: Sequence[AuditRow]) -> Tip:
    tip = Tip()
    for row in rows:
        tip = tip.with_leaf(row.leaf_hash, row.signature or b"")
    return tip


@pytest.mark.parametrize("index", [0, 1, 6, SIZE - 1])
def test_e4_a_row_that_was_changed_with_its_hash_and_the_whole_tree_is_named(
    database: Path, index: int
) -> None:
    rows = rows_in(database)
    rows[index] = forged(rows[index], (rows[index - 1].signature or b"") if index else b"")
    put(database, rows, tip_over(rows))
    assert told(verdict_of_file(database)) == [
        (index, "was changed or inserted: the relay has not signed it like this")
    ]


def test_e4_a_row_that_was_inserted_with_the_whole_tree_is_named(database: Path) -> None:
    rows = rows_in(database)
    new = replace(forged(rows[11], rows[11].signature or b""), index=12)
    put(database, [*rows, new], tip_over([*rows, new]))
    ((row, words),) = told(verdict_of_file(database))
    assert (row, "changed or inserted" in words) == (12, True)


def test_e4_a_row_taken_out_with_the_others_moved_up_is_named(database: Path) -> None:
    rows = rows_in(database)
    moved = [replace(row, index=index) for index, row in enumerate(rows[:4] + rows[5:])]
    put(database, moved, tip_over(moved))
    assert verdict_of_file(database).faults[0].row == 4


async def test_e4_the_end_cut_off_with_care_is_found_by_a_head(database: Path) -> None:
    head = head_at(database, SIZE)
    rows = rows_in(database)[:9]
    put(database, rows, tip_over(rows))
    assert told(verdict_of_file(database)) == []  # what the log itself cannot know
    ((row, words),) = told(verdict_of_file(database, head_at(database, 4), head))
    assert row == 9
    assert words == "and all after it are gone: a head was signed over 12 rows at 2027-01-15 08:00:00 UTC"


async def test_e4_a_log_written_anew_with_the_relays_stolen_key_is_found_by_a_head(
    database: Path, tmp_path: Path
) -> None:
    heads = [head_at(database, size) for size in (4, 8, SIZE)]
    rows, tip, made = rows_in(database), Tip(), []
    for row in rows:
        details = forged(row, b"").details if row.index == 6 else row.details
        assert details is not None
        new, tip = tip.append(row.at_ms, details, KEY.sign)
        made.append(new)
    put(database, made, tip)
    assert told(verdict_of_file(database)) == []
    ((row_number, words),) = told(verdict_of_file(database, *heads))
    assert row_number == 4
    assert (
        words
        == "or one of those up to row 7 was written anew: the head signed at 2027-01-15 08:00:00 UTC is over others"
    )


async def test_a_log_of_another_key_is_not_this_relays(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite3"
    await make_log(path, key=OTHER_KEY)
    assert verdict_of_file(path).faults[0].row == 0
    assert told(verdict_of_file(path, key=OTHER_KEY)) == []


@pytest.mark.parametrize("index", [0, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 5])
async def test_e4_a_change_in_a_long_log_is_named_in_any_block(
    long_log: tuple[Path, list[AuditRow]], tmp_path: Path, index: int
) -> None:
    original, rows = long_log
    database = tmp_path / "copy.sqlite3"
    shutil.copy(original, database)
    changed = list(rows)
    changed[index] = forged(rows[index], (rows[index - 1].signature or b"") if index else b"")
    put(database, changed, tip_over(changed))
    assert [fault.row for fault in verdict_of_file(database).faults] == [index]
    shutil.copy(original, database)
    tamper(database, f"UPDATE audit_rows SET detail = 'x' WHERE row_index = {index}")
    assert [fault.row for fault in verdict_of_file(database).faults] == [index]


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[AuditRow]]:
    """2,100 rows: two full blocks and a part of one."""
    rows, tip = [], Tip()
    audit = audit_over(None)  # type: ignore[arg-type]
    for _ in range(2 * BLOCK_ROWS + 52):
        row, tip = audit.by_account(Action.MANIFEST_CHANGE, ANNA).append(tip)
        rows.append(row)
    path = tmp_path_factory.mktemp("long") / "relay.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in shipped_migrations()[3].statements():
            connection.execute(statement)
    put(path, rows, tip)
    assert told(verdict_of_file(path)) == []
    return path, rows


async def test_details_that_were_dropped_leave_a_log_that_fits_and_changes_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite3"
    await make_log(path, before=(3, 6))  # rows 0 to 5 are bare, 12 and 13 tell so
    assert told(verdict_of_file(path)) == []
    for statement, row, words in (
        (f"UPDATE audit_rows SET leaf_hash = {SOMEBODY} WHERE row_index = 2", 5, "or one of those from row 0 on"),
        (f"UPDATE audit_rows SET signature = {ZEROS} WHERE row_index = 5", 5, "signature is another one"),
        ("UPDATE audit_rows SET signature = NULL WHERE row_index = 5", 5, "its time would have been dropped"),
        ("UPDATE audit_rows SET at_ms = 9 WHERE row_index = 2", 2, "was changed"),
        ("DELETE FROM audit_rows WHERE row_index = 2", 2, "is gone"),
        ("UPDATE audit_rows SET action = NULL, at_ms = 0 WHERE row_index = 6", 6, "has lost its details"),
        ("UPDATE audit_rows SET detail = '9' WHERE row_index = 13", 13, "was changed"),
    ):  # fmt: skip
        copy = tmp_path / "copy.sqlite3"
        shutil.copy(path, copy)
        tamper(copy, statement)
        found = told(verdict_of_file(copy))
        assert [fault for fault in found if fault[0] == row and words in fault[1]], (statement, found)


async def test_a_long_dropped_past_is_passed_without_its_signatures(tmp_path: Path) -> None:
    rows, tip = [], Tip()
    audit = audit_over(None)  # type: ignore[arg-type]
    for _ in range(BLOCK_ROWS * 2 + 10):
        row, tip = audit.by_relay(Action.CONFIG_RELOAD).append(tip)
        rows.append(row)
    last = BLOCK_ROWS * 2
    row, tip = audit.by_relay(Action.AUDIT_DROP, detail=str(last + 1)).append(tip)
    bare = [replace(each, details=None, signature=None, at_ms=0) for each in rows[:last]]
    bare += [replace(rows[last], details=None), *rows[last + 1 :], row]
    assert check_rows(bare, tip, KEY.public).faults == ()
    bare[7] = replace(bare[7], leaf_hash=bytes(32))
    (fault,) = check_rows(bare, tip_over(bare), KEY.public).faults
    assert (fault.row, "from row 0 on" in fault.told) == (last, True)


async def test_an_id_taken_out_by_hand_is_seen_though_the_tree_fits(database: Path) -> None:
    row = rows_in(database)[4]
    assert row.details is not None
    erased = row.details.subject.erase().hash or b""
    tamper(
        database,
        f"UPDATE audit_rows SET subject_id = NULL, subject_salt = NULL, subject_hash = x'{erased.hex()}' WHERE row_index = 4",
    )
    ((number, words),) = told(verdict_of_file(database))
    assert (number, words) == (4, "or one before it has lost an id: 1 are erased, and rows tell of 0")


async def test_two_changes_are_two_faults(database: Path) -> None:
    tamper(database, "UPDATE audit_rows SET detail = 'x' WHERE row_index IN (2, 3, 8)")
    assert [row for row, _ in told(verdict_of_file(database))] == [2, 3, 8]


def test_a_log_that_is_no_log_any_more_does_not_take_for_ever() -> None:
    details = Details("x", *(None, None))  # type: ignore[arg-type]
    rows = (AuditRow(index, 1, details, b"", b"") for index in range(10**9))
    assert len(check_rows(rows, Tip(), KEY.public).faults) == MOST_FAULTS


async def test_it_reads_beside_a_relay_that_has_the_file_open(database: Path) -> None:
    async with open_sqlite_store(database, reserve_bytes=0) as store:
        await store.audit.append(audit_over(store.audit).by_relay(Action.CONFIG_RELOAD))
        verdict = verdict_of_file(database)
        assert (verdict.rows, told(verdict)) == (SIZE + 1, [])


async def test_a_file_without_an_audit_log_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite3"
    async with open_sqlite_store(path, reserve_bytes=0, migrations=shipped_migrations()[:3]):
        pass
    with pytest.raises(StoreUnusable, match="start the relay once"):
        verdict_of_file(path)
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreUnusable, match="cannot read"):
        verdict_of_file(path)


def test_what_a_row_of_the_table_says_is_read_back() -> None:
    audit = audit_over(None)  # type: ignore[arg-type]
    row, _ = audit.entry(Action.ROLE_GRANT, actor=Party.operator(5), subject=Party.account(ANNA)).append(
        Tip()
    )
    said = row.details
    assert said is not None
    parties = (*(said.actor.kind, said.actor.id, said.actor.salt, None), *(3, ANNA, said.subject.salt, None))
    assert row_of((0, NOW_MS, row.leaf_hash, row.signature, "role.grant", "", "", *parties)) == row
