"""Progress on the terminal, for what takes longer than a second; nothing where nobody looks."""

import sys
from collections.abc import Callable
from typing import Final

import click

_FIRST_MS: Final = 1_000
_EVERY_MS: Final = 200
_MIB: Final = 1 << 20


class Progress:
    """One line on stderr, written anew; call `end` before anything else is printed."""

    def __init__(self) -> None:
        from relay.adapters.system_clock import SystemClock

        self._monotonic_ms = SystemClock().monotonic_ms
        self._next = self._monotonic_ms() + _FIRST_MS
        self._shown = 0

    def told(self, what: str, done: int, of: int) -> None:
        """So many bytes of so many are done."""
        self._show(lambda: f"{what}: {done // _MIB} of {of // _MIB} MiB ({100 * done // max(of, 1)} %)")

    def counted(self, what: str, done: int) -> None:
        """So many are done, of nobody knows how many."""
        self._show(lambda: f"{what}: {done:,}")

    def _show(self, told: Callable[[], str]) -> None:
        now = self._monotonic_ms()
        if now < self._next or not sys.stderr.isatty():
            return
        self._next = now + _EVERY_MS
        line = told()
        click.echo(f"\r{line.ljust(self._shown)}", nl=False, err=True)
        self._shown = len(line)

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo(f"\r{' ' * self._shown}\r", nl=False, err=True)
            self._shown = 0
