"""The `tokenim` command keeps what scripts rely on: objects, exit statuses, codes; over a library that is a stand-in.

The same over the real library and a real relay is in tests/journeys.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from client import errors
from client.cli.commands import tokenim
from client.cli.output import printable
from client.message import (
    CaughtUp,
    Gap,
    Identity,
    Message,
    Missed,
    SafetyNumber,
    SendReport,
    SharedFile,
    State,
    Unopened,
    Warned,
)

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
    async def register(cls, home, link, *, handle, passphrase):
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

    async def outbox_size(self):
        return 3

    async def events(self, *, until_caught_up, patience_seconds):
        for event in self.answer("events", until_caught_up, patience_seconds):
            yield event

    async def history(self, with_, *, limit):
        return self.answer("history", with_, limit)

    async def safety_number(self, with_):
        return self.answer("safety_number", with_)


@pytest.fixture
def library(monkeypatch):
    StandIn.calls, StandIn.result, StandIn.raises = [], None, None
    monkeypatch.setattr("client.cli.work.Client", StandIn)
    return StandIn


def call(*arguments, stdin=None):
    return CliRunner().invoke(tokenim, ["--home", "folder", *arguments], input=stdin)


def objects(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_register_prints_who_it_is(library):
    assert objects(call("register", "LINK", "--handle", "alice", "--json")) == [
        {
            "type": "identity",
            "account": "acc",
            "device": "dev",
            "handle": "alice",
            "relay": "http://relay",
            "role": "owner",
        }
    ]
    assert library.calls[0] == ("register", Path("folder"), "LINK", "alice", None)
    assert "registered at http://relay: handle alice" in call("register", "LINK").stdout


def test_e10_the_invite_can_come_from_standard_input(library):
    assert call("register", "-", stdin="SECRET\n").exit_code == 0
    assert library.calls[0][2] == "SECRET"


def test_e10_the_passphrase_comes_from_a_file_that_nobody_else_reads(library, tmp_path):
    path = tmp_path / "passphrase"
    path.write_text("correct horse\nignored\n")
    path.chmod(0o644)
    result = call("--passphrase-file", str(path), "whoami")
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr
    path.chmod(0o600)
    assert call("--passphrase-file", str(path), "whoami").exit_code == 0
    assert library.calls[0] == ("open", Path("folder"), "correct horse")
    assert "correct horse" not in repr(library.calls[0][0])


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_passphrase_file_that_holds_none_is_wrong_usage(library, tmp_path, content):
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    path.chmod(0o600)
    assert call("--passphrase-file", str(path), "whoami").exit_code == 2
    assert library.calls == []


def test_whoami_gives_the_contact_link_only_when_asked(library):
    assert "link" not in objects(call("whoami", "--json"))[0]
    assert objects(call("whoami", "--link", "--json"))[0]["link"].startswith("http://relay/contact")
    assert "alice" in call("whoami").stdout


def test_send_prints_the_message_that_was_accepted(library):
    library.result = replace(TEXT, outgoing=True, state=State.ACCEPTED)
    sent = objects(call("send", "bob", "hello", "--json"))[0]
    assert (sent["type"], sent["id"], sent["state"], sent["text"]) == ("text", "m1", "accepted", "hello")
    assert ("send", "bob", "hello", None, 5.0) in library.calls
    assert call("send", "bob", "hello").stdout == "accepted m1\n"


def test_send_takes_a_file(library, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"12345")
    library.result = replace(FILE, outgoing=True, state=State.ACCEPTED)
    assert objects(call("send", "bob", "--file", str(path), "--patience", "9", "--json"))[0]["type"] == "file"
    assert ("send", "bob", None, path, 9.0) in library.calls


def test_send_each_line_leaves_out_the_empty_ones_and_keeps_the_rest_as_it_is(library):
    library.result = SendReport(accepted=3, refused=0, first_id="a", last_id="c")
    result = call("send", "bob", "--each-line", "--json", stdin="one\n\n  two \r\n   \nthrée")
    assert objects(result) == [
        {"type": "sent", "accepted": 3, "refused": 0, "empty": 2, "first_id": "a", "last_id": "c"}
    ]
    assert ("send_lines", "bob", ["one", "  two ", "thrée"], 5.0) in library.calls


def test_lines_that_were_refused_are_exit_status_1(library):
    library.result = SendReport(accepted=1, refused=1, first_id="a", last_id="c")
    result = call("send", "bob", "--each-line", stdin="one\ntwo\n")
    assert result.exit_code == 1
    assert "not_sent" in result.stderr


def test_input_that_is_not_utf_8_is_wrong_usage_and_names_the_line(library):
    result = call("send", "bob", "--each-line", stdin=b"one\n\xff\n")
    assert result.exit_code == 2
    assert "line 2 " in result.stderr


@pytest.mark.parametrize("arguments", [[], ["hi", "--each-line"], ["hi", "--file", "pyproject.toml"]])
def test_send_wants_exactly_one_thing_to_send(library, arguments):
    result = call("send", "bob", *arguments)
    assert result.exit_code == 2
    assert "give one of" in result.stderr
    assert library.calls == []


def test_listen_prints_each_message_with_its_file_fetched(library):
    library.result = [TEXT, FILE, CaughtUp()]
    text, file = objects(call("listen", "--json", "--until-caught-up"))
    assert text | {"account": "", "received_at": ""} == {
        "type": "text",
        "id": "m1",
        "conversation": "acc",
        "from": "bob",
        "sent_at": "2023-11-14T22:13:20.000Z",
        "text": "hello",
        "account": "",
        "outgoing": False,
        "state": "received",
        "received_at": "",
    }
    assert file["file"]["path"] == "got.png"
    assert file["file"]["sha256"] == "ab" * 32
    assert ("events", True, 30.0) in library.calls


def test_listen_tells_of_what_is_not_a_message(library):
    library.result = [
        CaughtUp(),
        Missed(2, "expired"),
        Gap("acc", "acc", "bob", 1),
        Unopened("no_session"),
        Warned("session_reset", "bob set up anew"),
    ]
    types = [shown["type"] for shown in objects(call("listen", "--json", "--events"))]
    assert types == ["caught_up", "missed", "gap", "unopened", "warning"]
    assert ("events", False, None) in library.calls
    plain = call("listen").stdout
    assert plain.count("! ") == 4


def test_a_file_that_is_gone_does_not_stop_listening(library):
    library.result = [replace(FILE, _fetch=unavailable), TEXT]
    result = call("listen", "--json")
    assert [shown["id"] for shown in objects(result)] == ["m2", "m1"]
    assert objects(result)[0]["file"]["path"] is None
    assert "file_unavailable" in result.stderr


def test_history_prints_the_conversation(library):
    library.result = [TEXT, replace(TEXT, id="m3", outgoing=True, state=State.QUEUED)]
    assert [shown["id"] for shown in objects(call("history", "bob", "--limit", "2", "--json"))] == [
        "m1",
        "m3",
    ]
    assert ("history", "bob", 2) in library.calls
    plain = call("history", "bob").stdout.splitlines()
    assert plain == ["2023-11-14T22:13:20.000Z bob: hello", "2023-11-14T22:13:20.000Z me: [queued] hello"]


def test_verify_shows_the_digits_in_groups_and_a_code(library):
    library.result = SafetyNumber("acc", "bob", "0123456789" * 6, b"\x00\xff")
    assert objects(call("verify", "bob", "--json")) == [
        {"type": "safety_number", "account": "acc", "name": "bob", "digits": "0123456789" * 6, "qr": "AP8"}
    ]
    plain = call("verify", "bob").stdout
    assert plain.count("01234  56789  01234  56789") == 3
    assert "█" in plain or "▀" in plain


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.Refused("handle_taken", "this handle is taken (handle_taken)"), 1, "handle_taken"),
        (errors.UnknownRecipient("nobody is called bob"), 1, "unknown_recipient"),
        (errors.NoAccount("no account here: register first"), 1, "no_account"),
        (errors.UsageError("the link is cut short"), 2, "usage"),
        (errors.RelayUnreachable("http://relay was not reached"), 3, "unreachable"),
    ],
)
def test_a_failure_is_one_line_with_its_code_and_status(library, error, status, code):
    library.raises = error
    result = call("send", "bob", "hello")
    assert result.exit_code == status
    assert result.stdout == ""
    assert result.stderr.startswith(f"tokenim: {code}: ")
    assert result.stderr.count("\n") == 1
    told = json.loads(call("send", "bob", "hello", "--json").stderr)
    assert (told["type"], told["code"]) == ("error", code)


@pytest.mark.parametrize("what", [["hello"], ["--each-line"], ["--file", "pyproject.toml"]])
def test_a_relay_that_is_not_reached_leaves_the_message_in_the_outbox_and_says_so(library, what):
    library.raises = errors.RelayUnreachable("http://relay was not reached")
    result = call("send", "bob", *what, stdin="x\n")
    assert result.exit_code == 3
    assert "3 messages wait in the outbox" in result.stderr


def test_every_failure_of_the_library_has_a_code_and_an_exit_status():
    waiting, seen = [errors.ClientError], set()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        assert kind.exit_status in (1, 2, 3)
        assert kind.code not in seen, f"{kind.__name__} has the code of another"
        seen.add(kind.code)


def test_a_defect_is_one_line_too_and_shows_where_when_asked(library):
    library.raises = KeyError("x")
    result = call("whoami")
    assert result.exit_code == 1
    assert result.stderr.startswith("tokenim: internal: KeyError")
    assert isinstance(call("--traceback", "whoami").exception, KeyError)


def test_a_full_disk_is_one_line(library):
    library.raises = OSError(28, "No space left on device", "store.db")
    result = call("whoami")
    assert (result.exit_code, result.stderr) == (1, "tokenim: system: No space left on device: store.db\n")


@pytest.mark.parametrize("text", ["\x1b[2Jhello", "a\x9bb", "abc\u202ecba", "a\rb", "\u2066x"])
def test_what_others_wrote_cannot_move_the_cursor(library, text):
    library.result = [replace(TEXT, text=text, name=text)]
    shown = call("listen").stdout
    assert not any(character in shown for character in "\x1b\x9b\u202e\r\u2066")
    assert objects(call("listen", "--json"))[0]["text"] == text
    assert printable("tab\tand line\n") == "tab\tand line\n"


def test_help_imports_neither_the_library_nor_the_network():
    program = (
        "import sys\nfrom client.cli import main\nsys.argv = ['tokenim', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'aiohttp', 'pydantic', 'nacl', 'cryptography', 'sqlcipher3', 'rich', 'segno', 'asyncio'}\n"
        "print('loaded', sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert "history" in done.stdout


def test_wrong_usage_is_exit_status_2_with_a_hint():
    for arguments in (["nonsense"], ["send"], ["history"], ["listen", "--patience", "x"]):
        done = subprocess.run(
            [sys.executable, "-c", "from client.cli import main; main()", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr
        assert "--help" in done.stderr
