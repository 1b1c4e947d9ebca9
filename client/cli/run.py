"""Runs what a command has to do, and turns a failure into one line and the exit status of its kind."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from client.errors import ClientError, UsageError

from .output import INTERRUPTED, Output
from .place import Place

_WHOLE = 1_000
_AS_JSON = "tokenim.as_json"


@contextmanager
def _usage_in_one_line(*, as_json: bool) -> Iterator[None]:
    """What click finds wrong with a call is told as every other failure is; click itself takes four lines."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # the help of the group
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "tokenim"
        Output(as_json).fail(
            UsageError.code, f"{error.format_message().rstrip('.')} (see `{path} --help`)", error.exit_code
        )


class Commands(click.Group):
    """A group that tells wrong usage in one line, and in whose help the first sentence of each command is as it is.

    click would cut it at the width of the terminal.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Remembers whether `--json` was asked: what is wrong with the call may keep click from telling it."""
        as_json = "--json" in args
        with _usage_in_one_line(as_json=as_json):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[_AS_JSON] = as_json
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named."""
        with _usage_in_one_line(as_json=ctx.meta[_AS_JSON]):
            return super().invoke(ctx)

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
