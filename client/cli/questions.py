"""Asks the person at the terminal; what is typed never stands on a command line. Questions go to standard error."""

import asyncio
import sys
import threading

import click

from .output import one_line


async def typed_line(question: str) -> str | None:
    """What is typed after the question, without its end; None if standard input is over. May be cancelled."""
    click.echo(f"{one_line(question)} ", err=True, nl=False)
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[str] = loop.create_future()

    def settle(line: str) -> None:
        if not answered.done():
            answered.set_result(line)

    def read() -> None:
        line = sys.stdin.readline()
        try:
            loop.call_soon_threadsafe(settle, line)
        except RuntimeError:
            return  # the command is over, nobody waits for it any more

    # A daemon: a question that is not answered in time must not keep the command from ending.
    threading.Thread(target=read, name="question", daemon=True).start()
    line = await answered
    if not sys.stdin.isatty():  # nobody pressed Enter: what is told next begins on its own line
        click.echo(err=True)
    return line.rstrip("\r\n") if line else None


async def says_yes(question: str) -> bool:
    """Whether the answer is y or yes; anything else is a no."""
    typed = await typed_line(f"{question} [y/N]")
    return typed is not None and typed.strip().lower() in ("y", "yes")
