"""A push server as the client sees it: by the stand-in of ntfy in node, and by what no such server says."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import aiohttp
import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from client.distributor import Distributor
from client.errors import DistributorUnreachable, UsageError
from client.system import this_machine
from tests.push_stand_ins.stand_in import StandIn, standing_in

TOKEN = b"t" * 16


@asynccontextmanager
async def ntfy(**settings: str) -> AsyncIterator[tuple[StandIn, str]]:
    async with standing_in("ntfy_fake.js", settings) as stand_in:
        yield stand_in, f"http://127.0.0.1:{stand_in.port}"


async def post(distributor: Distributor, body: bytes) -> int:
    async with aiohttp.ClientSession() as session, session.post(distributor.endpoint, data=body) as answer:
        return answer.status


def sealed(distributor: Distributor, plain: bytes = TOKEN) -> bytes:
    return http_ece.encrypt(
        plain,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=distributor.receiver.public,
        auth_secret=distributor.receiver.auth,
        version="aes128gcm",
    )


async def test_a_message_comes_opened_and_what_others_post_is_passed_over() -> None:
    async with ntfy() as (stand_in, url), Distributor(f"{url}/", this_machine()) as distributor:
        assert len(distributor.endpoint) == len(f"{url}/up123456789012?up=1")
        async with asyncio.timeout(20), aclosing(distributor.messages()) as messages:
            assert await anext(messages) is None
            for nonsense in (b"", b"knock knock", os.urandom(119), b"\xef\xbb\xbf", b"x" * 4_096):
                assert await post(distributor, nonsense) == 200
            for line in ('{"event":"message","message":"=","encoding":"base64"}', '{"event":"poll_request"}'):
                await stand_in.tell(say=line)
            assert await post(distributor, sealed(distributor)) == 200
            assert await anext(messages) == TOKEN
            await stand_in.tell(away=True)
            with pytest.raises(DistributorUnreachable):
                await anext(messages)


@pytest.mark.parametrize("line", ["{}", "[", "null", "x" * 300_000, '{"event":7}'])
async def test_a_stream_of_something_else_ends(line: str) -> None:
    async with (
        asyncio.timeout(20),
        ntfy() as (stand_in, url),
        Distributor(url, this_machine()) as distributor,
        aclosing(distributor.messages()) as messages,
    ):
        assert await anext(messages) is None
        await stand_in.tell(say=line)
        with pytest.raises(DistributorUnreachable):
            await anext(messages)


@pytest.mark.parametrize(("given", "is_good"), [(None, False), ("tk_other", False), ("tk_secret", True)])
async def test_who_may_read_is_known_by_a_token(given: str | None, is_good: bool) -> None:
    async with (
        ntfy(readers="tk_secret") as (_, url),
        Distributor(url, this_machine(), access_token=given) as distributor,
        aclosing(distributor.messages()) as messages,
    ):
        if is_good:
            assert await anext(messages) is None
        else:
            with pytest.raises(UsageError, match="access token"):
                await anext(messages)


async def test_what_has_no_stream_is_told_so() -> None:
    async with ntfy() as (_, url), Distributor(f"{url}/some/where", this_machine()) as distributor:
        with pytest.raises(UsageError, match=r"no stream .*404"):
            await anext(distributor.messages())


async def test_nobody_there() -> None:
    async with ntfy() as (stand_in, url), Distributor(url, this_machine()) as distributor:
        await stand_in.tell(away=True)
        with pytest.raises(DistributorUnreachable):
            await anext(distributor.messages())


@pytest.mark.parametrize(
    "server", ["", "ntfy.sh", "ftp://ntfy.sh", "https://", "https://ntfy.sh/?x=1", "http://["]
)
async def test_no_address_of_a_server(server: str) -> None:
    with pytest.raises(UsageError):
        Distributor(server, this_machine())


async def test_each_has_a_topic_and_keys_of_its_own() -> None:
    made = [Distributor("https://ntfy.example", this_machine()) for _ in range(3)]
    assert len({one.endpoint for one in made}) == len({one.receiver.public for one in made}) == 3
    assert base64.urlsafe_b64decode(made[0].endpoint.split("/up")[1].split("?")[0])
