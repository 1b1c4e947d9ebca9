"""How the `tokenim` command fails: one line, a code, an exit status; and how it starts."""

import json
import logging
import subprocess
import sys
from dataclasses import replace

import pytest

from client import errors
from client.cli.output import printable
from tests.client_stand_in import TEXT, StandIn, call, objects


@pytest.fixture
def library(monkeypatch):
    StandIn.calls, StandIn.result, StandIn.raises = [], None, None
    monkeypatch.setattr("client.cli.work.Client", StandIn)
    return StandIn


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
def test_a_relay_that_is_not_reached_is_told_once_with_what_becomes_of_the_message(library, what):
    detail = "http://relay was not reached; 1 message waits in the outbox"
    library.raises = errors.RelayUnreachable(detail)
    result = call("send", "bob", *what, stdin="x\n")
    assert result.exit_code == 3
    assert result.stderr == f"tokenim: unreachable: {detail}\n"


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
    as_json = call("listen", "--json")
    assert objects(as_json)[0]["text"] == text
    assert not any(character in as_json.stdout for character in "\x1b\x9b\u202e\r\u2066")
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


def test_verbose_tells_of_the_connection_on_standard_error(library):
    logger = logging.getLogger("client")
    before = list(logger.handlers), logger.level
    try:
        library.result = []
        assert call("--verbose", "history", "bob").exit_code == 0
        (handler,) = [handler for handler in logger.handlers if handler not in before[0]]
        record = logging.getLogger("client.submitter").makeRecord(
            "client", logging.INFO, "f", 1, "lost", (), None
        )
        assert handler.format(record) == "tokenim: lost"
        assert logging.getLogger("client.submitter").isEnabledFor(logging.INFO)
    finally:
        logger.handlers, logger.level = before


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--wake", "unifiedpush"], "--wake-server URL"),
        (["--wake", "unifiedpush", "--wake-server", "ntfy.example"], "https://ntfy.example"),
        (["--wake", "unifiedpush", "--wake-server", "http://x", "--wake-url", "http://x"], "--wake webhook"),
        (["--wake", "webhook", "--wake-server", "http://x"], "--wake unifiedpush"),
        (["--wake-listen", "127.0.0.1:0"], "--wake webhook"),
        (["--wake", "webhook", "--wake-listen", "nowhere"], "--wake-listen nowhere"),
        (["--wake", "webhook", "--until-caught-up"], "do not go together"),
    ],
)
def test_options_of_waking_that_make_no_sense(library, options, words):
    result = call("listen", *options)
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


def test_an_access_token_that_others_can_read_is_not_taken(library, tmp_path):
    file = tmp_path / "token"
    file.write_text("tk_secret\n")
    file.chmod(0o644)
    options = ["--wake", "unifiedpush", "--wake-server", "http://127.0.0.1:1", "--wake-token-file", str(file)]
    result = call("listen", *options)
    assert (result.exit_code, "chmod 600" in result.stderr) == (2, True), result.stderr
    file.chmod(0o600)
    result = call("listen", *options)
    assert (result.exit_code, "distributor_unreachable" in result.stderr) == (3, True), result.stderr
    assert "tk_secret" not in result.stderr
