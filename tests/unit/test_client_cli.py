"""The `tokenim` command keeps what scripts rely on: objects, exit statuses, codes; over a library that is a stand-in.

The same over the real library and a real relay is in tests/journeys.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from client.message import (
    CaughtUp,
    Gap,
    Missed,
    SafetyNumber,
    SendReport,
    State,
    Unopened,
    Warned,
)
from tests.client_stand_in import FILE, TEXT, StandIn, call, objects, unavailable


@pytest.fixture
def library(monkeypatch):
    StandIn.calls, StandIn.result, StandIn.raises = [], None, None
    monkeypatch.setattr("client.cli.work.Client", StandIn)
    return StandIn


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
