"""Plays every attack of a malicious relay and prints what the user sees of it, as `make hostile`.

    python -m tests.hostile.attack_table [--without-guards] [NAME…]

The words are those that the clients of this very run gave out. With --without-guards the same attacks meet clients whose
guards are taken away: each must then go unseen, else the table proves nothing. Ends with 0 only if all is as it must be.
"""

import argparse
import asyncio
import sys
import tempfile
import textwrap
from collections.abc import Iterable
from pathlib import Path

from tests.hostile.all_attacks import ATTACKS
from tests.hostile.attacks import Attack, Unseen
from tests.hostile.stage import Theatre, open_theatre

_WIDTH = 118


def main(arguments: list[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="attack_table", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--without-guards", action="store_true", help="take the client's guards away")
    parser.add_argument("names", nargs="*", metavar="NAME", help="these attacks only")
    chosen = parser.parse_args(arguments)
    attacks = [ATTACKS[name] for name in chosen.names or ATTACKS]
    with (
        tempfile.TemporaryDirectory(prefix="tokenim-hostile-") as folder,
        open_theatre(Path(folder, "relay")) as theatre,
    ):
        if chosen.without_guards:
            return _without_guards(attacks, theatre, Path(folder))
        return _as_it_is(attacks, theatre, Path(folder))


def _as_it_is(attacks: Iterable[Attack], theatre: Theatre, folder: Path) -> int:
    good = unseen = 0
    print("what the relay does\n  → what the user sees\n")
    for attack in attacks:
        try:
            played = asyncio.run(theatre.play(attack, folder / attack.name))
        except Unseen as error:
            unseen += 1
            _row(attack, [f"UNSEEN: {error}"])
        except Exception as error:
            unseen += 1
            _row(attack, [f"FAILED: {type(error).__name__}: {error}"])
        else:
            good += 1
            _row(attack, [f"no harm: {'; '.join(played.saw)}"] if played.harmless else played.saw)
    print(f"\n{good + unseen} attacks: {good} seen or harmless, {unseen} unseen")
    return int(unseen > 0)


def _without_guards(attacks: Iterable[Attack], theatre: Theatre, folder: Path) -> int:
    unseen = seen = 0
    lasting = []
    print("what the relay does\n  → without the client's guard\n")
    for attack in attacks:
        if not attack.guards:
            lasting.append(attack)
            continue
        try:
            with attack.without_guards():
                played = asyncio.run(theatre.play(attack, folder / attack.name))
        except Unseen as error:
            unseen += 1
            _row(attack, [str(error)])
        except Exception as error:
            seen += 1
            _row(attack, [f"FAILED: {type(error).__name__}: {error}"])
        else:
            seen += 1
            _row(attack, [f"SEEN ALL THE SAME: {'; '.join(played.saw)}"])
    for attack in lasting:
        _row(attack, [f"no guard to take away: {attack.cannot}"])
    print(f"\n{unseen + seen} guards taken away: {unseen} attacks unseen then, {seen} seen all the same")
    return int(seen > 0)


def _row(attack: Attack, words: Iterable[str]) -> None:
    print(attack.what)
    for line in words:
        print(textwrap.fill(line, _WIDTH, initial_indent="  → ", subsequent_indent="    "))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
