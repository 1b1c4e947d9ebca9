"""A defect of the relay ends a connection with `internal`; a client comes back, and loses nothing."""

from pathlib import Path

import pytest

from client.connection import ending
from client.errors import ClientError, Refused, RelayUnreachable, Replaced
from relay.services.connections import Connections
from relay.services.mailbox import Mailboxes
from tests.chatting import open_people


def once(monkeypatch: pytest.MonkeyPatch, home: type, name: str) -> list[str]:
    """The method raises the first time it is called, and works from then on; what was raised so far."""
    works, raised = getattr(home, name), []

    def breaks(*arguments: object) -> object:
        if not raised:
            raised.append(name)
            raise ValueError("a defect")
        return works(*arguments)

    monkeypatch.setattr(home, name, breaks)
    return raised


async def test_what_is_sent_meanwhile_goes_out_on_the_next_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        raised = once(monkeypatch, Mailboxes, "authorise")
        await alice.send("bob", "hello", patience_seconds=20)
        assert raised == ["authorise"]
        assert [one.text async for one in bob.messages(until_caught_up=True)] == ["hello"]


async def test_who_listens_takes_the_mailbox_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_people(tmp_path, "alice", "bob") as people:
        alice, bob = await people.enter("alice"), await people.enter("bob")
        await alice.send("bob", "hello")
        raised = once(monkeypatch, Connections, "resume")
        heard = bob.messages(until_caught_up=True, patience_seconds=20)
        assert [one.text async for one in heard] == ["hello"]
        assert raised == ["resume"]


@pytest.mark.parametrize(
    ("code", "kind"), [("replaced", Replaced), ("internal", RelayUnreachable), ("device_revoked", Refused)]
)
def test_a_connection_ends_the_same_by_frame_and_by_close_code(code: str, kind: type[ClientError]) -> None:
    """Of the two directions of a connection either may read first why it ended."""
    assert type(ending(code)) is kind
