"""`tokenim-conformance relay` at relays that answer nonsense: their cases fail with a reason, and the run ends as ever."""

import asyncio
import json
import struct

import aiohttp
import msgspec
import pytest
from aiohttp import web
from nacl.signing import SigningKey

from client.conformance import relay_suite
from client.conformance.case import Case
from client.conformance.cases import SUITE
from client.conformance.device import ask
from client.conformance.relay import Invite, Relay
from client.conformance.report import Failed, NotClaimed
from client.conformance.runner import run
from client.conformance.wire import sha256, to_base64, transcript
from tests.conformance.test_relay_suite import kit

KEY = SigningKey(bytes(32))
ABOUT = {"origin": "", "versions": ["v1"], "registration": "invite", "anonymous_submit": True, "limits": {}}


async def test_any_exception_of_a_case_is_its_failure_and_names_its_type():
    raised = [
        AttributeError("'list' object has no attribute 'get'"),
        struct.error("unpack requires a buffer of 6 bytes"),
        RecursionError("too deep"),
        msgspec.ValidationError("no"),
        AssertionError(),
        ExceptionGroup("two", [OSError(), KeyError()]),
    ]

    def case(number: int, error: Exception | None) -> Case[None]:
        async def body(_subject: None) -> None:
            if error is not None:
                raise error

        return Case(f"case-{number}", "core", "It raises.", (), body)

    errors = [*raised, Failed("said"), NotClaimed("not mine"), None]
    cases = [case(number, error) for number, error in enumerate(errors)]
    results = [result async for result in run(cases, None, {})]
    assert [one.outcome for one in results] == ["failed"] * 7 + ["not claimed", "passed"]
    assert [
        error for error, one in zip(raised, results, strict=False) if type(error).__name__ not in one.why
    ] == []
    assert results[6].why == "said"


async def test_a_relay_that_never_answers_is_not_reached(monkeypatch):
    async def never(*_arguments: object) -> Relay:
        raise TimeoutError

    monkeypatch.setattr(relay_suite, "open_relay", never)
    with pytest.raises(Failed, match=r"the relay at http://x\.example is not reached: TimeoutError"):
        await relay_suite.run_relay(Invite("http://x.example", b"", b""), lambda _result: None)


def about(**fields: object) -> bytes:
    return json.dumps({**ABOUT, **fields}).encode()


DOCUMENTS = {
    "no object": b"[]",
    "no JSON": b"<html>",
    "JSON of a depth that nothing reads": b"[" * 200_000,
    "push that is no object": about(push="all of them"),
    "limits that are no object": about(limits=[1]),
}
ANSWERS = {
    "problems that are lists": (b"[]", 400),
    "problems that are no JSON": (b"<html>", 401),
    "good answers that are lists": (b"[]", 201),
    "nothing": (b"", 204),
}


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        *((document, ANSWERS["problems that are lists"]) for document in DOCUMENTS.values()),
        *((about(), answer) for answer in ANSWERS.values()),
    ],
    ids=[*DOCUMENTS, *ANSWERS],
)
async def test_a_relay_that_answers_nonsense_fails_every_case_and_the_run_ends(
    document, answer, aiohttp_server
):
    async def tell(_request: web.Request) -> web.Response:
        signature = KEY.sign(transcript("tokenim/v1 relay-document", sha256(document))).signature
        headers = {"TokenIM-Signature": to_base64(signature)}
        return web.Response(body=document, content_type="application/json", headers=headers)

    async def junk(_request: web.Request) -> web.Response:
        body, status = answer
        return web.Response(body=body, status=status, content_type="application/problem+json")

    application = web.Application()
    application.router.add_get("/.well-known/tokenim", tell)
    application.router.add_route("*", "/{rest:.*}", junk)
    server = await aiohttp_server(application)
    origin = str(server.make_url("")).rstrip("/")
    link = f"{origin}/invite#v1.{to_base64(bytes(16) + bytes(KEY.verify_key))}"
    done = await asyncio.to_thread(kit, origin, "--invite", link)

    assert (done.returncode, done.stderr) == (1, ""), done.stdout
    outcomes = [line.split("  ")[0] for line in done.stdout.splitlines()[:-1] if not line.startswith(" ")]
    passed = [line for line in done.stdout.splitlines() if line.startswith("passed")]
    failed = outcomes.count("failed")
    assert passed == []
    assert failed > 80
    unclaimed = len(SUITE.cases) - failed
    assert done.stdout.splitlines()[-1] == f"0 passed, {failed} failed, {unclaimed} not claimed"


async def test_a_relay_may_write_the_names_of_its_headers_in_small_letters():
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\ntokenim-request-id: a\r\n"
            b'content-length: 22\r\n\r\n{"code":"not_allowed"}'
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as session:
        answer = await ask(session, "GET", f"http://127.0.0.1:{port}/")
        answer.must(403, "not_allowed")
        assert answer.headers.get("TokenIM-Request-Id") == "a"
