"""An older backup, by a device that is a manager still, is taken for the newest by nobody who reads what is shown (D3)."""

from dataclasses import replace

import pytest

from client.cli.recovery_work import words_of
from client.logs import append_account_log, read_account_log, trim_account_log
from client.recovery.backup_parts import LOG_NAME, parts_of, whole_backups
from client.times import iso_time
from tests import command
from tests.chatting import open_people
from tests.journeys.test_recovery import WISHES, confirmed, restore


@pytest.mark.proves("M-RECOV-03")
async def test_d3_the_time_of_an_older_backup_that_is_all_there_is_is_shown(tmp_path):
    async with open_people(tmp_path, "alice", "bob") as people:
        async with people.client("alice") as alice:
            words = await confirmed(alice)
            transport = alice._account._transport
            (older,) = whole_backups(
                one.entry for one in (await read_account_log(transport, LOG_NAME, 0)).entries
            )
            await alice.send("bob", "whom I met since")
            await alice.recovery.back_up()
            page = await read_account_log(transport, LOG_NAME, 0)
            newest = whole_backups(one.entry for one in page.entries)[-1]
            assert newest.head.counter > older.head.counter
            # The relay shows the older one alone, of a manager that is in the list still: nothing gives it away.
            await trim_account_log(transport, LOG_NAME, page.next_index)
            for index, part in enumerate(parts_of(older.encode()), page.next_index):
                await append_account_log(transport, LOG_NAME, index, part)
        restored = await restore(people, words, tmp_path / "new", replace(WISHES, keep_devices=True))
        made_at = iso_time(older.head.made_at_ms)
        assert (restored.contacts, restored.as_json()["backup_at"]) == (0, made_at)
        assert f"as of {made_at}: whom you met since is not among them" in words_of(restored)
        # The command prints those words, not for programs alone.
        process = await command.start(
            tmp_path / "newer", "recovery", "restore", people.world.relay.url, stdin=b""
        )
        printed, errors = await process.communicate(words.encode() + b"\n")
        assert process.returncode == command.DONE, errors.decode()
        assert f"are back as of {made_at}" in printed.decode()
