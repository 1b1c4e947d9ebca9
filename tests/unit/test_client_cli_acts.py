"""The commands that do something to a message, and how what others did is printed; over a library that is a stand-in."""

from dataclasses import replace

import pytest

from client.errors import UsageError
from client.message_acts import Acted, ActKind, MessageName, Reaction
from tests.client_stand_in import TEXT, StandIn, call, objects


class ActingStandIn(StandIn):
    async def react(self, message, emoji):
        return self.answer("react", message, emoji)

    async def edit(self, message, text):
        return self.answer("edit", message, text)

    async def delete(self, message):
        return self.answer("delete", message)


@pytest.fixture
def library(monkeypatch):
    ActingStandIn.calls, ActingStandIn.result, ActingStandIn.raises = [], TEXT, None
    monkeypatch.setattr("client.cli.work.Client", ActingStandIn)
    return ActingStandIn


@pytest.mark.parametrize(
    "arguments", [("react", "m1", "👍"), ("edit", "m1", "better"), ("delete", "m1")], ids=lambda a: a[0]
)
def test_each_act_prints_the_message_as_it_is_now(library, arguments):
    assert [shown["id"] for shown in objects(call(*arguments, "--json"))] == ["m1"]
    assert arguments in library.calls
    library.raises = UsageError("only its author edits a message")
    result = call(*arguments)
    assert (result.exit_code, result.stderr) == (2, "tokenim: usage: only its author edits a message\n")


def test_acts_of_others_are_printed_without_control_characters(library):
    def acted(kind: ActKind, text: str | None = None) -> Acted:
        return Acted(kind, MessageName("acc", "m1"), "con", "acc", "b\x1bob", 1, text)

    library.result = [
        acted(ActKind.REACTION, "\x1b👍"),
        acted(ActKind.REACTION, ""),
        acted(ActKind.EDIT, "new\x07"),
        acted(ActKind.DELETE),
        acted(ActKind.READ),
    ]
    assert call("listen").stdout.splitlines() == [
        "* b�ob reacts to m1: �👍",
        "* b�ob reacts to m1: nothing any more",
        "* b�ob edits m1: new�",
        "* b�ob deletes m1",
    ]
    kinds = [shown["type"] for shown in objects(call("listen", "--json"))]
    assert kinds == ["reaction", "reaction", "edit", "delete"]
    kinds = [shown["type"] for shown in objects(call("listen", "--json", "--events"))]
    assert kinds == ["reaction", "reaction", "edit", "delete", "read"]


def test_a_message_shows_what_was_done_to_it(library):
    library.result = [
        replace(
            TEXT, edited_at_ms=5, reactions=(Reaction("acc", "bob", "👍", 1), Reaction("x", "y", "🎉", 2))
        ),
        replace(TEXT, text=None, deleted_at_ms=5),
    ]
    first, second = call("history", "bob").stdout.splitlines()
    assert first.endswith("bob: hello (edited) [👍 🎉]")
    assert second.endswith("bob: (deleted)")
