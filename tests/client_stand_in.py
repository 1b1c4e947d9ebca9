"""A library that gives what a test of the `tokenim` command says, and notes what it was asked."""

import json
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from client import errors
from client.cli.commands import tokenim
from client.message import Identity, Message, SharedFile, State

TEXT = Message(
    id="m1",
    conversation="acc",
    account="acc",
    name="bob",
    type="text",
    sent_at_ms=1_700_000_000_000,
    received_at_ms=1_700_000_000_500,
    outgoing=False,
    state=State.RECEIVED,
    text="hello",
)


async def fetched(message):
    return replace(message, file=replace(message.file, path=Path("got.png"), sha256="ab" * 32))


async def unavailable(message):
    raise errors.FileUnavailable("the relay does not have it any more")


FILE = replace(
    TEXT,
    id="m2",
    type="file",
    text=None,
    file=SharedFile("a.png", "image/png", 5, None, None),
    _fetch=fetched,
)


class StandIn:
    """A library that gives what the test says and notes what it was asked."""

    calls: list
    result: object
    raises: Exception | None

    @classmethod
    def open(cls, home, *, passphrase=None, system=None):
        cls.calls.append(("open", home, passphrase))
        return cls()

    @classmethod
    async def register(cls, home, link, *, handle, passphrase, device_name):
        assert device_name
        cls.calls.append(("register", home, link, handle, passphrase))
        return cls().whoami()

    async def __aenter__(self):
        if isinstance(self.raises, errors.StoreError):
            raise self.raises
        return self

    async def __aexit__(self, *_):
        self.calls.append(("close",))

    def answer(self, *call):
        self.calls.append(call)
        if self.raises:
            raise self.raises
        return self.result

    def whoami(self):
        self.answer("whoami")
        return Identity("acc", "dev", "alice", "http://relay", "owner")

    async def contact_link(self):
        return "http://relay/contact#v1.x"

    async def send(self, to, text=None, *, file=None, progress=None, patience_seconds):
        if progress:
            progress(1, 2)
        return self.answer("send", to, text, file, patience_seconds)

    async def send_lines(self, to, lines, *, on_accepted, patience_seconds):
        taken = [line async for line in lines] if hasattr(lines, "__aiter__") else list(lines)
        on_accepted(len(taken))
        return self.answer("send_lines", to, taken, patience_seconds)

    async def events(self, *, until_caught_up, patience_seconds):
        told = self.answer("events", until_caught_up, patience_seconds)
        for event in told[-1:] if ("settle",) in self.calls else told:
            yield event

    async def settle(self):
        self.answer("settle")

    async def history(self, with_, *, limit):
        return self.answer("history", with_, limit)

    async def safety_number(self, with_):
        return self.answer("safety_number", with_)


def call(*arguments, stdin=None):
    return CliRunner().invoke(tokenim, ["--home", "folder", *arguments], input=stdin)


def objects(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]
