"""File names that a sender chose to get in the way of the recipient's client."""

import pytest

from tests.chatting import open_people, random_file, waiting


@pytest.mark.parametrize("name", ["sealed.part", ".sealed", ".opened", "x.part"])
async def test_a_name_of_the_clients_own_working_files_costs_no_file(tmp_path, name):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        path = random_file(tmp_path, name, 100_000)
        await alice.send("bob", file=path)
        (message,) = await waiting(bob)
        fetched = await message.fetch()
        assert fetched.file is not None
        assert fetched.file.path is not None
        assert fetched.file.path.read_bytes() == path.read_bytes()
        assert [one.name for one in fetched.file.path.parent.iterdir()] == [name.lstrip(".")]
