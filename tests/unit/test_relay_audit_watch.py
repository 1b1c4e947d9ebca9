"""The relay's own verification of its audit log: what it finds is told, heads are kept, and nobody waits for it."""

import asyncio
import errno
import io
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from relay.adapters.alone import Alone
from relay.adapters.heads_file import DiskHeadsFile
from relay.adapters.memory.audit import MemoryAudit
from relay.adapters.memory.holds import MemoryHolds
from relay.adapters.memory.image import Gate, Image
from relay.adapters.memory_clock import ManualClock
from relay.adapters.sqlite.store import open_sqlite_store
from relay.observe.figures import Figures
from relay.observe.logs import EventLog
from relay.ports.audit import HeadsFile, HeadsNotKept
from relay.ports.holds import Hold
from relay.services.audit import Action, Audit
from relay.services.audit_check import AuditVerdict
from relay.services.audit_records import told_head
from relay.services.audit_watch import STEP_ROWS, AuditWatch, open_audit_watch
from relay.wire.audit_rows import Tip
from tests.audit_logs import OTHER_KEY, audit_over, verdict_of
from tests.contract.people import NOW_MS, bytes_of

DAY_MS = 86_400_000


class HastyClock(ManualClock):
    """Does not wait between steps, and counts them."""

    steps = 0

    async def sleep(self, seconds: float) -> None:
        self.steps += 1
        await asyncio.sleep(0)


class Lines:
    """A second place in memory; `broken`: it is not there just now."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.broken = False

    async def lines(self) -> list[str]:
        if self.broken:
            raise HeadsNotKept("gone")
        return list(self.kept)

    async def add(self, line: str) -> None:
        if self.broken:
            raise HeadsNotKept("gone")
        self.kept.append(line)


@dataclass
class Scene:
    """A log in memory under watch."""

    image: Image = field(default_factory=Image)
    clock: HastyClock = field(default_factory=lambda: HastyClock(NOW_MS))
    stream: io.StringIO = field(default_factory=io.StringIO)
    figures: Figures = field(default_factory=Figures)
    heads: Lines = field(default_factory=Lines)

    def __post_init__(self) -> None:
        self.store = MemoryAudit(Gate(self.image))
        self.audit: Audit = audit_over(self.store, clock=self.clock)

    def watch(self, *, keep_days: int = 0, heads: HeadsFile | None = None) -> AuditWatch:
        return AuditWatch(
            self.store,
            self.audit,
            clock=self.clock,
            log=EventLog(self.stream, self.clock.now_ms),
            figures=self.figures,
            every_seconds=3_600,
            keep_days=keep_days,
            heads=self.heads if heads is None else heads,
            held_from_ms=MemoryHolds(Gate(self.image)).audited_from_ms,
        )

    async def add(self, count: int = 1) -> None:
        for _ in range(count):
            await self.store.append(self.audit.by_account(Action.MANIFEST_CHANGE, bytes_of("anna", 32)))

    def change(self, index: int) -> None:
        row = self.image.audit_rows[index]
        assert row.details is not None
        self.image.audit_rows[index] = replace(row, details=replace(row.details, detail="owner"))

    def logged(self) -> list[tuple[str, str, int | None]]:
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [(line["level"], line["event"], line.get("row")) for line in lines]


@pytest.fixture
async def scene() -> Scene:
    made = Scene()
    await made.add(5)
    return made


def rows_told(verdict: AuditVerdict) -> list[int | None]:
    return [fault.row for fault in verdict.faults]


async def test_a_log_that_fits_is_told_quietly_and_its_head_is_kept_once(scene: Scene) -> None:
    watch = scene.watch()
    for _ in range(2):
        assert (await watch.round()).faults == ()
    await scene.add()
    await watch.round()
    assert scene.logged() == []
    assert {figure.name: value for figure, _, value in scene.figures.numbers() if "audit" in figure.name} == {
        "audit_faults": 0,
        "audit_heads_unkept": 0,
        "audit_rows": 6,
        "audit_verified_at_seconds": NOW_MS / 1_000,
        "audit_verify_seconds": 0,
    }
    await scene.watch().round()  # of another start
    assert [json.loads(line)["size"] for line in scene.heads.kept] == [5, 6]


async def test_e4_damage_is_a_figure_and_an_error_that_names_the_row(scene: Scene) -> None:
    scene.change(3)
    assert rows_told(await scene.watch().round()) == [3]
    assert scene.logged() == [("error", "audit_damaged", 3)]
    assert scene.figures.value("audit_faults") == 1
    assert scene.heads.kept == []  # no head says that this log is in order


async def test_e4_the_end_cut_off_while_it_runs_is_found_without_a_second_place(scene: Scene) -> None:
    watch = scene.watch()
    before = scene.image.audit_tip
    await scene.add(2)
    await watch.round()
    del scene.image.audit_rows[5:]
    scene.image.audit_tip = before
    scene.heads.kept.clear()
    assert rows_told(await watch.round()) == [5]


async def test_e4_a_log_written_anew_while_the_relay_was_down_is_found_in_the_second_place(
    scene: Scene,
) -> None:
    await scene.watch().round()
    rows, tip = [], Tip()
    for row in scene.image.audit_rows:
        assert row.details is not None
        new, tip = tip.append(row.at_ms + 1, row.details, scene.audit.by_relay(Action.RESTORE).sign)
        rows.append(new)
    scene.image.audit_rows, scene.image.audit_tip = rows, tip
    assert (await verdict_of(scene.store)).faults == ()
    assert rows_told(await scene.watch().round()) == [0]


async def test_a_second_place_that_is_away_is_told_and_gets_the_head_later(scene: Scene) -> None:
    scene.heads.broken = True
    watch = scene.watch()
    await watch.round()
    assert {event for _, event, _ in scene.logged()} == {"audit_heads_unkept"}
    assert scene.figures.value("audit_heads_unkept") == 1
    scene.heads.broken = False
    await watch.round()
    assert len(scene.heads.kept) == 1
    assert scene.figures.value("audit_heads_unkept") == 0


async def test_what_is_no_head_of_this_relay_in_the_second_place_is_a_fault(scene: Scene) -> None:
    scene.heads.kept = ["nonsense"]
    other = MemoryAudit(Gate(Image()))
    signed = await audit_over(other, key=OTHER_KEY).head()
    scene.heads.kept.append(json.dumps(told_head(signed)))
    told = [fault.told for fault in (await scene.watch().round()).faults]
    assert [("line 1" in told[0]), ("not by this relay's key" in told[1])] == [True, True]


async def test_it_goes_in_steps_and_others_append_meanwhile(scene: Scene) -> None:
    await scene.add(4 * STEP_ROWS)

    async def others() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            await scene.add()

    verdict, _ = await asyncio.gather(scene.watch().round(), others())
    assert verdict.faults == ()
    assert verdict.rows == 4 * STEP_ROWS + 8
    assert scene.clock.steps >= 4


async def test_details_of_old_days_are_dropped(scene: Scene) -> None:
    scene.clock.jump(seconds=2 * 86_400)
    await scene.add(2)
    watch = scene.watch(keep_days=3)
    await watch.drop_old()
    assert all(row.details is not None for row in scene.image.audit_rows)
    scene.clock.jump(seconds=2 * 86_400)
    await watch.drop_old()
    await watch.drop_old()  # nothing more of this day
    bare = [row.details is None for row in scene.image.audit_rows]
    assert bare == [True] * 5 + [False] * 3
    assert (await watch.round()).faults == ()


async def test_a_hold_keeps_what_the_watch_would_drop_from_the_first_row_that_names_its_account(
    scene: Scene,
) -> None:
    carol = bytes_of("carol", 32)
    scene.clock.jump(seconds=86_400)
    await scene.store.append(scene.audit.by_account(Action.MANIFEST_CHANGE, carol))
    await scene.add()
    now_ms = scene.clock.now_ms()
    scene.image.holds[carol] = Hold(carol, "case-117", now_ms, now_ms + 90 * DAY_MS)
    scene.clock.jump(seconds=9 * 86_400)
    await scene.watch(keep_days=3).drop_old()
    assert [row.details is None for row in scene.image.audit_rows] == [True] * 5 + [False] * 3


async def test_e4_a_row_that_was_inserted_before_the_first_is_found_by_the_watch(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite3"
    async with open_sqlite_store(path, reserve_bytes=0) as store:
        audit = audit_over(store.audit)
        for _ in range(3):
            await store.audit.append(audit.by_relay(Action.CONFIG_RELOAD))
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE audit_rows SET row_index = -7 WHERE row_index = 1")
        scene = Scene()
        scene.store, scene.audit = store.audit, audit  # type: ignore[assignment]
        assert rows_told(await scene.watch().round()) == [-7, 1]


async def test_it_watches_from_the_start_on_by_schedule_and_a_failure_does_not_end_it() -> None:
    scene = Scene()
    clock = scene.clock = ManualClock(NOW_MS)  # type: ignore[assignment]
    watch, failures = scene.watch(), list[BaseException]()

    class Failing(Exception):
        pass

    real = scene.store.tip

    async def failing() -> Tip:
        scene.store.tip = real  # type: ignore[method-assign]
        raise Failing

    scene.store.tip = failing  # type: ignore[method-assign]
    async with open_audit_watch(watch, Alone(), failures.append):
        await clock.advance(seconds=0)
        assert [type(error) for error in failures] == [Failing]
        assert scene.figures.value("audit_rows") is None
        assert scene.figures.value("audit_verified_at_seconds") == 0
        await clock.advance(seconds=3_600)
        assert scene.figures.value("audit_rows") == 0
        assert scene.figures.value("audit_verified_at_seconds") == NOW_MS / 1_000 + 3_600


async def test_the_file_of_heads_is_its_owners_and_only_grows(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    kept = DiskHeadsFile(path)
    assert await kept.lines() == []
    await kept.add("one")
    await kept.add("two")
    assert await kept.lines() == ["one", "two"]
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("ab") as file:
        file.write(b"half a li")
    await kept.add("three")
    assert await kept.lines() == ["one", "two", "half a li", "three"]
    away = DiskHeadsFile(tmp_path / "not there" / "heads")
    with pytest.raises(HeadsNotKept, match="cannot be written"):
        await away.add("one")
    with pytest.raises(HeadsNotKept, match="cannot be read"):
        await DiskHeadsFile(tmp_path).lines()


async def test_nothing_of_a_head_stays_that_a_full_disk_did_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = DiskHeadsFile(tmp_path / "heads")
    await kept.add("one")
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if len(data) > 2:
            return real(descriptor, data[:2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("relay.adapters.heads_file.os.write", write)
        with pytest.raises(HeadsNotKept, match="cannot be written"):
            await kept.add("two two")
    assert (tmp_path / "heads").read_bytes() == b"one\n"
