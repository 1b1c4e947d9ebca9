"""What `tokenim recovery …` does with the library. Lets every ClientError pass."""

from typing import Final

from client.client import Client
from client.errors import RelayUnreachable, UsageError
from client.recovery.restoring import Restored, RestoreWishes
from client.times import iso_time

from .output import Output, one_line
from .place import Place
from .questions import typed_line
from .work import open_client, this_device, this_system

_ASKED: Final = 3
_A_ROW: Final = 4


async def create(place: Place, out: Output, *, yes: bool) -> None:
    """Show the words, hear that they are written down, and make the first backup."""
    async with open_client(place) as client:
        words = await client.recovery.words()
        numbered = [f"{number:2} {word:10}" for number, word in enumerate(words, 1)]
        rows = ["".join(numbered[start : start + _A_ROW]) for start in range(0, len(words), _A_ROW)]
        out.result(
            "\n".join(["Write these words down, in this order, on paper:", "", *rows, ""]),
            {"type": "recovery_words", "words": " ".join(words)},
        )
        if not yes and not await _are_written_down(words, out):
            out.result(
                "not confirmed: the words stay here, and are shown again by the same call",
                {"type": "recovery", "confirmed": False, "backed_up": False},
            )
            return
        is_backed_up = True
        try:
            await client.recovery.confirm(" ".join(words))
        except RelayUnreachable:
            is_backed_up = False
    plain = "confirmed: the words and the root key are deleted here; "
    plain += "a backup is made" if is_backed_up else "the first backup is made when the relay is reached"
    plain += "; messages are not in it: `tokenim history-archive on` keeps them too"
    out.result(plain, {"type": "recovery", "confirmed": True, "backed_up": is_backed_up})


async def _are_written_down(words: tuple[str, ...], out: Output) -> bool:
    """Scripts give all words back in one line; people type some of them."""
    if out.as_json:
        typed = await typed_line("All 24 words in one line:")
        if typed is None or not typed.strip():
            return False
        if typed.lower().split() != list(words):
            raise UsageError("these are other words: nothing was confirmed")
        return True
    for place in _some_places(len(words)):
        typed = await typed_line(f"Word {place + 1}:")
        if typed is None:
            return False
        if typed.strip().lower() != words[place]:
            raise UsageError(
                f"word {place + 1} is another one: nothing was confirmed; look at your note again"
            )
    return True


def _some_places(count: int) -> list[int]:
    """Some of the places, others each time, in order."""
    chosen: set[int] = set()
    while len(chosen) < _ASKED:
        chosen.add(int.from_bytes(this_system().random(4), "big") % count)
    return sorted(chosen)


async def restore(
    place: Place, out: Output, origin: str, name: str | None, *, keep_devices: bool, accept_older: bool
) -> None:
    """Make this folder a device of the account of the words."""
    words = await typed_line("The 24 words, in one line:")
    if words is None or not words.strip():
        raise UsageError("no words came on standard input")
    restored = await Client.restore(
        place.home,
        origin,
        words,
        RestoreWishes(name or this_device(), keep_devices, accept_older),
        passphrase=place.passphrase,
        system=this_system(),
    )
    out.shown(restored, words_of(restored))


def words_of(restored: Restored) -> str:
    """What came back, and of when: who has the words alone cannot know whether there was a newer backup."""
    if restored.backup_made_at_ms is None:
        backup = "no backup was there; if there should be one, the relay keeps it back"
    else:
        made_at = iso_time(restored.backup_made_at_ms)
        backup = (
            f"{restored.contacts} contacts are back as of {made_at}: whom you met since is not among them"
        )
    if restored.groups:
        backup += f"; {restored.groups} groups are asked to let this device in again"
    if restored.lost_groups:
        names = ", ".join(one_line(name) for name in restored.lost_groups)
        backup += f"; lost, since nobody else there may let anybody in: {names}"
    return f"restored: this is a device of account {restored.identity.account} now; {backup}"
