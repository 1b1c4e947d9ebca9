"""What the command prints, for people and for scripts: one object a line with `--json`, else plain lines.

Results go to standard output, everything else to standard error. Text that others wrote never reaches a terminal with
its control characters.
"""

import json
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import click

from client.errors import ClientError, Refused

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class Shown(Protocol):
    """Anything of the library that can be printed as an object."""

    def as_json(self) -> dict[str, Any]:
        """Its object; `type` says what it is."""


def printable(text: str) -> str:
    """The text without what would move a cursor, colour a terminal or hide characters; lines and tabs stay."""
    return "".join(
        character if character in "\n\t" or not _is_control(character) else "�" for character in text
    )


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs")


def json_line(shown: dict[str, Any]) -> str:
    """One object in one line; what would reach a terminal as a control character is escaped, so nothing is lost."""
    encoded = json.dumps(shown, ensure_ascii=False)
    if encoded.isprintable():  # fast for nearly all
        return encoded
    return "".join(
        json.dumps(character)[1:-1] if _is_control(character) else character for character in encoded
    )


def one_line(text: str) -> str:
    """Printable, in one line."""
    return " ".join(printable(text).split())


def code_of(error: ClientError) -> str:
    """The stable code: the relay's own where it refused."""
    return error.reason if isinstance(error, Refused) else error.code


@dataclass(frozen=True, slots=True)
class Output:
    """Standard output and error of one call."""

    as_json: bool

    def result(self, plain: str | None, shown: dict[str, Any]) -> None:
        """One result; `plain` None if people need not see it."""
        if self.as_json:
            click.echo(json_line(shown))
        elif plain is not None:
            click.echo(plain)

    def shown(self, value: Shown, plain: str | None) -> None:
        """One value of the library."""
        self.result(plain, value.as_json())

    def fail(self, code: str, detail: str, exit_status: int) -> NoReturn:
        """One line on standard error that begins with the code, and the exit status."""
        detail = one_line(detail)
        line = (
            json_line({"type": "error", "code": code, "detail": detail})
            if self.as_json
            else f"tokenim: {code}: {detail}"
        )
        click.echo(line, err=True)
        raise SystemExit(exit_status)

    def refuse(self, error: ClientError) -> NoReturn:
        """The line and exit status of a failure of the library."""
        detail = str(error) or (type(error).__doc__ or "").partition("\n")[0]
        if isinstance(error, Refused):
            detail = detail.removesuffix(f" ({error.reason})")
        self.fail(code_of(error), detail, error.exit_status)

    def warn(self, detail: str) -> None:
        """A line for people on standard error."""
        click.echo(f"tokenim: {one_line(detail)}", err=True)


def tell_connection() -> None:
    """From now on, what the library notes about its connection goes to standard error, a line each."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("tokenim: %(message)s"))
    logger = logging.getLogger("client")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class Bar:
    """Where a progress bar stands."""

    def __init__(self, advance: Callable[[int, int | None], None] | None = None) -> None:
        self._advance = advance

    def at(self, done: int, total: int | None = None) -> None:
        """So much is done, of so much."""
        if self._advance is not None:
            self._advance(done, total)


@contextmanager
def progress_bar(words: str, *, of_bytes: bool) -> Iterator[Bar]:
    """A bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

    count = DownloadColumn() if of_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), count)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(one_line(words), total=None)

        def advance(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        yield Bar(advance)
