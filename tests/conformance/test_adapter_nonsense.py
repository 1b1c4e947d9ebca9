"""`tokenim-conformance client` at adapters that write nonsense: the case fails at once, with what came, and the run ends."""

import sys

import pytest

from client.conformance.client_suite import setting
from client.conformance.client_suite.cases import CLIENT_SUITE
from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.suite import run_client
from client.conformance.report import Failed

PATIENCE = 50.0

NONSENSE = {
    "a number": (b"5\n", "not a JSON object, but b'5"),
    "a list": (b"[1, 2]\n", "not a JSON object, but b'[1, 2]"),
    "no JSON": (b"hello\n", "Expecting value"),
    "broken UTF-8": (b'{"id": 1, "ok": "\xff"}\n', "can't decode byte 0xff"),
    "JSON of a depth that nothing reads": (b"[" * 100_000 + b"\n", "recursion"),
    "a line without end": (b"x" * (2**24 + 2**17), "chunk exceed the limit"),
    "an answer to nothing": (b'{"id": 77, "ok": 1}\n', "an answer to id 77, on which nothing waits"),
}


def adapter(line: bytes) -> list[str]:
    """A program that takes one command, answers so, and stays."""
    said = f"sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]) * {max(1, len(line) // 10_000)})"
    piece = line if len(line) <= 10_000 else line[:10_000]
    tail = "" if len(line) <= 10_000 or not line.endswith(b"\n") else "sys.stdout.buffer.write(b'\\n');"
    program = f"import sys; sys.stdin.readline(); {said}; {tail} sys.stdout.flush(); sys.stdin.read()"
    return [sys.executable, "-S", "-c", program, piece.hex()]


@pytest.mark.parametrize(("line", "why"), NONSENSE.values(), ids=NONSENSE)
async def test_a_line_that_is_none_fails_the_case_at_once(line, why):
    (result,) = await run_client(
        adapter(line), lambda _result: None, ["client-registers"], patience_seconds=PATIENCE
    )
    assert result.outcome == "failed"
    assert "ann wrote what is no line of an adapter" in result.why
    assert why in result.why
    assert result.seconds < PATIENCE


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ('{"id": 1}', "answered register with neither `ok` nor `error`"),
        ('{"event": "heard", "id": "of a message"}\n{"id": 1, "error": "no"}', "ann refused register: no"),
    ],
)
async def test_an_answer_has_ok_or_error_and_events_may_have_ids_of_their_own(answer, why):
    (result,) = await run_client(
        adapter(f"{answer}\n".encode()), lambda _result: None, ["client-registers"], patience_seconds=PATIENCE
    )
    assert (result.outcome, why in result.why) == ("failed", True), result.why


@pytest.mark.parametrize("told", ["5", "[5]", '[{"text": "x"}]', '[{"text": 5, "is_own": false}]', "null"])
async def test_messages_that_are_none_are_told_as_such(told):
    async def body(case: Setting) -> None:
        await (await case.newcomer("ann")).texts()

    command = adapter(f'{{"id": 1, "ok": {told}}}\n'.encode())
    with pytest.raises(Failed, match="ann answered messages with no list of messages"):
        async with setting.open_setting(command, PATIENCE) as case:
            await body(case)


async def test_a_defect_of_the_scripted_relay_fails_the_case():
    with pytest.raises(
        Failed, match="the conformance kit's relay itself failed at GET /health: ZeroDivisionError"
    ):
        async with setting.open_setting(["true"], PATIENCE) as case:
            case.house.defect("GET /health", ZeroDivisionError())
    assert "client-registers" in CLIENT_SUITE.cases
