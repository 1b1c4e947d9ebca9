"""A move beside a relay that runs: one command at a time, no relay that would go on writing, none that does not end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay import moves
from relay.adapters.column_keys import read_keys
from relay.adapters.data_folder import (
    DataFolder,
    FolderInUse,
    StartRefused,
    open_data_folder,
    write_secret,
)
from relay.adapters.moving.marks import Mark, read_mark, remove_mark, write_mark
from relay.adapters.moving.running import after_relay, only_move, until_moved
from relay.adapters.sqlite.store import open_sqlite_store
from relay.adapters.system_clock import SystemClock
from relay.config import Settings
from relay.control.asking import short_path
from relay.upkeep import examine
from tests.moving import settings_with, told

ID = bytes(16)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    (tmp_path / "data").mkdir(0o700)
    return DataFolder(tmp_path / "data")


@pytest.fixture
def settings(folder: DataFolder) -> Settings:
    return settings_with(folder.path, "postgresql://tokenim@127.0.0.1:1/none")


@asynccontextmanager
async def answering(folder: DataFolder, reply: dict[str, Any]) -> AsyncIterator[None]:
    """A relay that has the folder, and answers this to every command."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
        writer.close()

    with open_data_folder(folder.path), short_path(folder.path) as path:
        async with await asyncio.start_unix_server(answer, path):
            yield


class Log:
    """What is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def warning(self, name: str) -> None:
        self.told.append(name)

    info = warning


class QuickClock(SystemClock):
    """Nobody sleeps; `wakes` are called in turn, each in the place of a sleep."""

    def __init__(self, *wakes: Any) -> None:
        self.wakes = list(wakes)
        self.slept = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        if self.wakes:
            self.wakes.pop(0)()


def test_a_second_command_is_told_to_wait_for_the_first(folder: DataFolder, settings: Settings) -> None:
    with only_move(folder.path):
        for begin in (moves.to_postgres(settings, told), moves.abandon(settings)):
            with pytest.raises(StartRefused, match="another `tokenim-relay migrate` is at work here"):
                asyncio.run(begin)
    with only_move(folder.path):
        pass


async def test_what_has_the_folder_and_answers_nothing_is_no_relay_to_be_moved(
    folder: DataFolder, settings: Settings
) -> None:
    with open_data_folder(folder.path), pytest.raises(FolderInUse):
        await moves.to_postgres(settings, told)
    assert read_mark(folder) is None


async def test_a_relay_of_a_version_that_would_not_stop_writing_is_not_moved_while_it_runs(
    folder: DataFolder, settings: Settings
) -> None:
    unknown = {"error": {"code": "not_found", "detail": "this relay does not know the command"}}
    async with answering(folder, unknown):
        with pytest.raises(StartRefused, match=r"cannot be moved so .* stop it, or start this version"):
            await moves.to_postgres(settings, told)
    assert read_mark(folder) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "ended, or starts anew: run this again"),
        (False, "does not see the mark"),
        (True, "key 1 of the"),
    ],
)
async def test_nothing_is_copied_before_the_relay_says_that_it_sees_the_mark_and_its_keys_are_there(
    folder: DataFolder, answer: bool | None, why: str
) -> None:
    async with open_sqlite_store(folder.database, reserve_bytes=0):
        pass
    keys_file = folder.path / "node.keys"
    write_secret(keys_file, folder.column_keys_file.read_text().replace("\n1 ", "\n2 "))
    assert read_keys(keys_file).keys() == {2}
    async with AsyncExitStack() as stack:
        if answer is not None:
            await stack.enter_async_context(answering(folder, {"ok": {"being_moved": answer}}))
        with pytest.raises(StartRefused, match=why):
            await moves._check_relay(folder, keys_file)
        if answer:
            await moves._check_relay(folder, folder.column_keys_file)


async def test_only_a_move_away_from_sqlite_is_abandoned_beside_a_relay(
    folder: DataFolder, settings: Settings
) -> None:
    with open_data_folder(folder.path):
        write_mark(folder, Mark("sqlite", ID))
        with pytest.raises(FolderInUse):
            await moves.abandon(settings)
        write_mark(folder, Mark("postgres", ID, done=True))
        with pytest.raises(StartRefused, match="no move is under way"):
            await moves.abandon(settings)
        write_mark(folder, Mark("postgres", ID))
        assert (await moves.abandon(settings)).target == "postgres"
    assert read_mark(folder) is None


async def test_a_relay_that_does_not_end_is_told_of(folder: DataFolder) -> None:
    clock = QuickClock()
    with open_data_folder(folder.path), pytest.raises(StartRefused, match="has not ended: stop it"):
        async with after_relay(folder.path, clock):
            pytest.fail("it has the folder")
    assert 60 < clock.slept < 120
    async with after_relay(folder.path, clock) as opened:
        assert opened.path == folder.path


async def test_a_relay_tells_once_that_it_is_moved_that_it_is_not_and_that_it_was(folder: DataFolder) -> None:
    log = Log()
    clock = QuickClock(
        lambda: write_mark(folder, Mark("postgres", ID)),
        lambda: None,
        lambda: remove_mark(folder),
        lambda: None,
        lambda: folder.moving_file.write_text("torn"),
        lambda: None,
        lambda: write_mark(folder, Mark("postgres", ID, done=True)),
    )
    await until_moved(folder, clock, log)
    assert log.told == ["being_moved", "move_abandoned", "being_moved", "moved"]
    assert clock.wakes == []


def test_the_doctor_tells_of_a_move(folder: DataFolder, settings: Settings) -> None:
    plain = settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"url": None})})

    def found() -> tuple[str, str]:
        (one,) = [one for one in examine(plain) if one.check == "moving"]
        return one.state, one.mend or ""

    assert found()[0] == "ok"
    write_mark(folder, Mark("postgres", ID))
    assert (found()[0], "migrate sqlite-to-postgres" in found()[1]) == ("warning", True)
    write_mark(folder, Mark("postgres", ID, done=True))
    assert found()[0] == "ok"
    folder.moving_file.write_text("torn")
    assert found()[0] == "failed"
