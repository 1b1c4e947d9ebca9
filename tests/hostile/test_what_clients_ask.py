"""What honest clients ask a relay for, as the relay sees it: nothing of strangers, and nothing of groups beside a signature."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crypto.group_changes import ChangeSetting, Remove
from crypto.group_state import NAME, Setting
from tests import command
from tests.chatting import random_file
from tests.hostile.attacks_on_groups import circle
from tests.hostile.middleman import open_middleman
from tests.hostile.stage import Stage, Theatre, open_theatre


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with open_theatre(tmp_path_factory.mktemp("relay") / "data") as theatre:
        yield theatre


@asynccontextmanager
async def honest_stage(theatre: Theatre, folder: Path) -> AsyncIterator[Stage]:
    """A relay that only looks at what passes."""
    async with open_middleman(theatre.upstream, theatre.listening) as relay:
        yield Stage(relay, theatre.invite, folder, theatre.relay_key, theatre.data)
    assert relay.failures == []


@pytest.mark.proves("M-REACH-05")
@pytest.mark.timeout(120)
async def test_c1_a_file_of_a_stranger_is_asked_for_by_nobody_but_the_user(theatre: Theatre, tmp_path: Path):
    async with honest_stage(theatre, tmp_path) as stage:
        alice, bob = await stage.people("alice", "bob")

        def fetched() -> list[str]:
            """What was asked for of blobs that somebody had put up."""
            return [one.target for one in stage.relay.exchanges if one.is_of("GET", "/v1/blobs/*")]

        async def sends(name: str) -> None:
            async with alice.client() as client:
                await client.send(bob.handle, file=random_file(tmp_path, name, 10_000))

        async def listens() -> dict[str, object]:
            """The file that came, as the command that fetches files of contacts by itself shows it."""
            shown = await command.done(bob.home, "listen", "--until-caught-up", "--events")
            (file,) = [one["file"] for one in shown if "file" in one]
            assert isinstance(file, dict)
            return file

        await sends("unasked")
        assert (await listens())["path"] is None
        async with bob.client() as client:
            (message,) = await client.history(alice.handle)
            assert (message.contact_request, message.file is not None) == (True, True)
        assert fetched() == []
        async with bob.client() as client:
            await client.accept(alice.handle)
        assert fetched() == [], "nor is what came before, once they are known"
        await sends("of a contact")
        assert (await listens())["path"] is not None
        assert len(fetched()) == 1, "it is seen if something is fetched"


@pytest.mark.proves("M-LOG-06")
@pytest.mark.timeout(120)
async def test_c8_group_logs_are_read_and_written_on_connections_on_which_nothing_is_signed(
    theatre: Theatre, tmp_path: Path
):
    async with honest_stage(theatre, tmp_path) as stage:
        group = await circle(stage, "alice", "bob", "carol")
        alice, bob, carol = group.members
        await group.commits(ChangeSetting(Setting(NAME, b"good friends")), online=(bob,))
        await group.commits(Remove(carol.account_id))
        await group.says(bob, "one")
        await alice.listens()
        asked = [one for one in stage.relay.exchanges if one.is_of("*", "/v1/group-logs/*")]
        assert {one.method for one in asked if one.status < 400} == {"GET", "POST"}
        assert [one.target for one in asked if one.signed] == []
        signing = {id(one.connection) for one in stage.relay.exchanges if one.signed}
        signing |= {id(line.connection) for line in stage.relay.lines if line.device_id is not None}
        assert len(signing) > 10
        assert [one.target for one in asked if id(one.connection) in signing] == []
