"""The SQLite store killed at each step of writing (F2), without room (F4), and on a disk whose sync fails (F5)."""

from pathlib import Path

import pytest

from relay.adapters.sqlite.store import SqliteStore, open_sqlite_store
from relay.ports.mailboxes import StoredEnvelope
from relay.ports.prekeys import Claim
from tests.contract.people import NOW_MS, bytes_of
from tests.faults.disk_shim import Disk

DEVICE = bytes_of(("device", "anna"))


def numbers(lines: list[str], word: str) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith(word + " ")]


async def waiting(store: SqliteStore) -> list[StoredEnvelope]:
    page = await store.mailboxes.read(DEVICE, after=0, max_envelopes=1_000, max_bytes=10**9, now_ms=NOW_MS)
    assert not page.more
    return [item for item in page.items if isinstance(item, StoredEnvelope)]


async def check_what_was_said(folder: Path, lines: list[str]) -> None:
    """Everything that was answered is there; what was not is there once or not at all; a key is given once."""
    async with open_sqlite_store(folder / "relay.db", reserve_bytes=4_096) as store:
        if "ready" not in lines:
            return
        ((verdict,),) = await store._reader.rows("PRAGMA integrity_check")
        assert verdict == "ok"
        stored = await waiting(store)
        sequences = [item.sequence for item in stored]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences))) if sequences else True
        acked = max(numbers(lines, "acked"), default=0)
        assert not sequences or sequences[0] in (
            acked + 1,
            acked + 2,
        )  # one acknowledgement may be unanswered
        accepted = numbers(lines, "accepted")
        names = {bytes_of(("id", number)): number for number in range(40)}
        found = [names[item.envelope_id] for item in stored]
        assert len(set(found)) == len(found)
        gone = (await store.mailboxes.state(DEVICE)).next_sequence - 1 - len(found)
        assert len(set(accepted) - set(found)) <= gone <= acked + 1
        for sender in (0, 1):  # each sender's own order
            mine = [number for number in found if number % 2 == sender]
            assert mine == sorted(mine)
        keys = numbers(lines, "key")
        (claimed,) = await store.prekeys.claim([Claim(DEVICE, one_time=True)])
        assert claimed is not None
        assert claimed.one_time is not None
        assert int.from_bytes(claimed.one_time[2:6], "big") > max(keys, default=1)
        assert len(set(keys)) == len(keys)


def test_a_whole_run_syncs_each_commit(tmp_path: Path) -> None:
    run = Disk(tmp_path).run("work")
    assert run.exit_code == 0
    assert sorted(numbers(run.lines, "accepted")) == list(range(40))
    _, _, commits, _, syncs = run.lines[-1].split()
    assert int(syncs) >= int(commits) > 10


def test_the_rig_sees_a_missing_sync(tmp_path: Path) -> None:
    run = Disk(tmp_path).run("off")
    _, _, commits, _, syncs = run.lines[-1].split()
    assert int(syncs) < int(commits) / 4


@pytest.mark.proves("M-DELIV-01", "M-DELIV-02")
async def test_f2_killed_at_each_step_of_writing_nothing_answered_is_lost(tmp_path: Path) -> None:
    """Each tenth write or sync, from the making of the file to the end of the work; every other write is torn."""
    whole = tmp_path / "whole"
    whole.mkdir()
    steps = range(1, Disk(whole).run("work").steps, 10)
    swept = Disk(tmp_path).run("sweep-work", *map(str, steps))
    assert swept.exit_code == 0
    killed = [line for line in swept.lines if line.endswith(" -9")]
    assert len(killed) > len(steps) * 0.8  # a run may have fewer steps than the first one had
    for step in steps:
        await check_what_was_said(
            tmp_path / str(step), (tmp_path / str(step) / "lines").read_text().splitlines()
        )


async def test_f4_on_a_full_disk_acknowledging_works_and_the_store_recovers(tmp_path: Path) -> None:
    run = Disk(tmp_path).run("full")
    assert run.exit_code == 0
    count = run.lines.index("refused storage_full")
    assert count > 5
    refusals = run.lines[count : count + 3]
    assert refusals == ["refused storage_full", "refused storage_full", "refused not_found"]
    assert numbers(run.lines, "nonce") == numbers(run.lines, "acked") == list(range(1, count + 1))
    assert "left 0 failed False" in run.lines
    assert run.lines[-2] == "accepted 2000"
    async with open_sqlite_store(tmp_path / "relay.db") as store:
        (item,) = await waiting(store)
        assert item.envelope_id == bytes_of(("id", 2_000))


async def test_f5_after_the_first_failed_sync_nothing_is_accepted(tmp_path: Path) -> None:
    run = Disk(tmp_path).run("fail")
    said = [line for line in run.lines if not line.startswith(("ready", "done"))]
    assert said == [
        "accepted 0",
        "accepted 1",
        "accepted 2",
        "refused unavailable",
        "refused unavailable",
        "refused unavailable",
        "refused unavailable",
        "failed True left True",
    ]
    async with open_sqlite_store(tmp_path / "relay.db") as store:
        found = [item.envelope_id for item in await waiting(store)]
        assert found[:3] == [bytes_of(("id", number)) for number in range(3)]
        assert len(found) <= 4  # the one that was under way may be there
