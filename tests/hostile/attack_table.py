"""Plays every attack of a malicious relay and prints what the user sees of it, as `make hostile`.

    python -m tests.hostile.attack_table [--without-guards] [NAME…]

The words are those that the clients of this very run gave out. With --without-guards the same attacks meet clients whose
guards are taken away: each must then go unseen, else the table proves nothing. Ends with 0 only if all is as it must be.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.hostile.all_attacks import ATTACKS
from tests.hostile.attacks import Attack, Unseen
from tests.hostile.stage import Theatre, open_theatre

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_WIDTH = 118
_JOBS = 2 * (os.cpu_count() or 1)
"""So many theatres at once: half of its time an attack waits."""
Row: TypeAlias = tuple[bool, list[str]]
"""Whether it is as it must be, and the words."""


def main(arguments: list[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="attack_table", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--without-guards", action="store_true", help="take the client's guards away")
    parser.add_argument(
        "--jobs", type=int, default=_JOBS, help="so many attacks at once, each at a relay of its own"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="these attacks only")
    chosen = parser.parse_args(arguments)
    attacks = [ATTACKS[name] for name in chosen.names or ATTACKS]
    if chosen.without_guards:
        return _without_guards(attacks, chosen.jobs)
    return _as_it_is(attacks, chosen.jobs)


def _as_it_is(attacks: Sequence[Attack], jobs: int) -> int:
    good = 0
    print("what the relay does\n  → what the user sees\n")
    for attack, (is_good, words) in _played(attacks, jobs, without_guards=False):
        good += is_good
        _row(attack, words)
    unseen = len(attacks) - good
    print(f"\n{len(attacks)} attacks: {good} seen or harmless, {unseen} unseen")
    return int(unseen > 0)


def _without_guards(attacks: Sequence[Attack], jobs: int) -> int:
    unseen = 0
    guarded = [attack for attack in attacks if attack.guards]
    print("what the relay does\n  → without the client's guard\n")
    for attack, (is_good, words) in _played(guarded, jobs, without_guards=True):
        unseen += is_good
        _row(attack, words)
    for attack in attacks:
        if not attack.guards:
            _row(attack, [f"no guard to take away: {attack.cannot}"])
    seen = len(guarded) - unseen
    print(f"\n{len(guarded)} guards taken away: {unseen} attacks unseen then, {seen} seen all the same")
    return int(seen > 0)


def _played(attacks: Sequence[Attack], jobs: int, *, without_guards: bool) -> Iterator[tuple[Attack, Row]]:
    """Each with its row, in their order. Processes: a guard is taken away from all the client of one."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="tokenim-hostile-") as folder:
        theatres: dict[Connection[Any, Any], BaseProcess] = {}
        for number in range(min(jobs, len(attacks))):
            here, there = spawn.Pipe()
            process: BaseProcess = spawn.Process(
                target=_theatre, args=(there, Path(folder, str(number)), without_guards)
            )
            process.start()
            there.close()
            theatres[here] = process
        try:
            yield from _in_order(attacks, list(theatres))
        finally:
            for here, process in theatres.items():
                here.close()  # who hears no name any more closes its theatre
                process.join()


def _in_order(
    attacks: Sequence[Attack], theatres: list["Connection[Any, Any]"]
) -> Iterator[tuple[Attack, Row]]:
    rows: dict[str, Row] = {}
    waiting = iter(attacks)
    busy = []
    for theatre, attack in zip(theatres, waiting, strict=False):
        theatre.send(attack.name)
        busy.append(theatre)
    for attack in attacks:
        while attack.name not in rows:
            ready = set(wait(busy))
            for theatre in [one for one in busy if one in ready]:
                name, row = theatre.recv()  # EOFError: its process died, and so does the run
                rows[name] = row
                if (following := next(waiting, None)) is None:
                    busy.remove(theatre)
                else:
                    theatre.send(following.name)
        yield attack, rows[attack.name]


def _theatre(names: "Connection[Any, Any]", folder: Path, without_guards: bool) -> None:
    """One relay, and the attacks whose names come, until none does."""
    play = _row_without_guards if without_guards else _row_as_it_is
    with open_theatre(folder / "relay") as theatre:
        while True:
            try:
                name = names.recv()
            except EOFError:
                return
            names.send((name, play(ATTACKS[name], theatre, folder / name)))


def _row_as_it_is(attack: Attack, theatre: Theatre, folder: Path) -> Row:
    try:
        played = asyncio.run(theatre.play(attack, folder))
    except Unseen as error:
        return False, [f"UNSEEN: {error}"]
    except Exception as error:
        return False, [f"FAILED: {type(error).__name__}: {error}"]
    return True, [f"no harm: {'; '.join(played.saw)}"] if played.harmless else list(played.saw)


def _row_without_guards(attack: Attack, theatre: Theatre, folder: Path) -> Row:
    try:
        with attack.without_guards():
            played = asyncio.run(theatre.play(attack, folder))
    except Unseen as error:
        return True, [str(error)]
    except Exception as error:
        return False, [f"FAILED: {type(error).__name__}: {error}"]
    return False, [f"SEEN ALL THE SAME: {'; '.join(played.saw)}"]


def _row(attack: Attack, words: Iterable[str]) -> None:
    print(attack.what)
    for line in words:
        print(textwrap.fill(line, _WIDTH, initial_indent="  → ", subsequent_indent="    "))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
