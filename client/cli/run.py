"""Runs what a command has to do, and turns a failure into one line and the exit status of its kind."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from client.errors import ClientError

from .output import INTERRUPTED, Output
from .place import Place

_WHOLE = 1_000


class Commands(click.Group):
    """A group whose help has the first sentence of each command as it is; click cuts it at the width of the terminal."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_WHOLE)) for name, one in found if one])


Command = TypeVar("Command", bound=Callable[..., Any])


def run(place: Place, out: Output, work: Coroutine[Any, Any, None]) -> None:
    """Do the work; a failure becomes one line and the exit status of its kind."""
    import asyncio
    import gc

    # What is imported stays to the end: looking through it for garbage would stop everything for 20 ms, again and again.
    gc.freeze()
    try:
        asyncio.run(work)
    except ClientError as error:
        if place.traceback:
            raise
        out.refuse(error)
    except KeyboardInterrupt:
        out.fail("interrupted", "stopped; what was not accepted yet stays in the outbox", INTERRUPTED)
    except BrokenPipeError:
        raise  # click ends quietly: whoever read our output has gone
    except OSError as error:
        if place.traceback:
            raise
        where = f": {error.filename}" if error.filename else ""
        out.fail("system", f"{error.strerror or error}{where}", 1)
    except Exception as error:
        if place.traceback:
            raise
        out.fail(
            "internal",
            f"{type(error).__name__}: {error}; this is a defect of tokenim, `tokenim --traceback …` shows where",
            1,
        )


def json_option(command: Command) -> Command:
    """The option `--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")(command)
