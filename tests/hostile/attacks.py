"""What an attack of a malicious relay is: a scenario with real clients, and the guards of the client that it runs into.

    @attack(Guard("crypto.prekeys.SignedKey.verify", nothing))
    async def swaps_the_signed_prekey(stage: Stage) -> None:
        "gives a signed prekey of its own"
        …

A scenario says what the user has to see, by the methods of its stage; it raises Unseen if they do not. Each is played
twice: as the client is, and with its guards taken away, which must end in Unseen.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from tests.hostile.stage import Stage

Scenario = Callable[["Stage"], Awaitable[None]]


class Unseen(AssertionError):
    """The attack had its way, and the user was not told by the name that was expected."""


@dataclass(frozen=True)
class Guard:
    """A part of the client by its dotted name, and what is put in its place to take it away."""

    target: str
    without: Any


@dataclass(frozen=True)
class Attack:
    """One attack. `guards` are taken away together: several, where one stands behind the other."""

    name: str
    what: str
    scenario: Scenario
    guards: tuple[Guard, ...]
    cannot: str
    """Why there is no guard that could be taken away; empty if there is one."""

    @contextmanager
    def without_guards(self) -> Iterator[None]:
        """The client of this process lacks them meanwhile."""
        with ExitStack() as stack:
            for guard in self.guards:
                stack.enter_context(patch(guard.target, guard.without))
            yield


ATTACKS: dict[str, Attack] = {}


def attack(*guards: Guard, cannot: str = "") -> Callable[[Scenario], Scenario]:
    """Make a scenario an attack; its first line of documentation is its row in the table."""

    def enlist(scenario: Scenario) -> Scenario:
        name, what = scenario.__name__, (scenario.__doc__ or "").strip().partition("\n")[0]
        if name in ATTACKS or not what or bool(guards) == bool(cannot):
            raise ValueError(
                f"{name}: needs a name of its own, a line that says what, guards or why there are none"
            )
        ATTACKS[name] = Attack(name, what, scenario, guards, cannot)
        return scenario

    return enlist


def nothing(*_: object, **__: object) -> None:
    """In the place of what checks or tells."""


async def forever(*_: object, **__: object) -> None:
    """In the place of what looks from time to time."""
    await asyncio.Event().wait()
