"""Who waits for the process of the client in JavaScript hears that it died, whatever is heard of first."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.interop.javascript_person import Died, JavaScriptPerson


def process() -> SimpleNamespace:
    """One whose output can end while nobody has told yet that it is dead."""
    return SimpleNamespace(
        returncode=None, stdout=asyncio.StreamReader(), stdin=SimpleNamespace(write=lambda _line: None)
    )


async def test_a_command_after_the_end_of_the_output_is_told_at_once():
    """As between the end of the pipe and the news of the exit: nobody would ever answer it."""
    dead = process()
    jay = JavaScriptPerson(dead)
    dead.stdout.feed_eof()
    await jay.reading
    with pytest.raises(Died):
        await asyncio.wait_for(jay.call("state"), 5)


async def test_a_command_that_waits_as_the_output_ends_is_told():
    dead = process()
    jay = JavaScriptPerson(dead)
    waiting = asyncio.create_task(jay.call("state"))
    await asyncio.sleep(0)
    dead.stdout.feed_eof()
    with pytest.raises(Died):
        await asyncio.wait_for(waiting, 5)
