"""What `tokenim history-archive …` does with the library. Lets every ClientError pass."""

from client.archive.history_archive import ArchiveStatus

from .output import Output
from .place import Place
from .work import open_client


async def on(place: Place, out: Output) -> None:
    """Switch it on."""
    async with open_client(place) as client:
        state = await client.history_archive.turn_on()
    out.shown(state, _plain(state))


async def off(place: Place, out: Output) -> None:
    """Switch it off."""
    async with open_client(place) as client:
        state = await client.history_archive.turn_off()
    out.shown(state, _plain(state))


async def status(place: Place, out: Output) -> None:
    """Tell how it stands."""
    async with open_client(place) as client:
        state = await client.history_archive.status()
    out.shown(state, _plain(state))


def _plain(state: ArchiveStatus) -> str:
    if not state.is_on:
        return "the history archive is off: messages are on your devices alone"
    if not state.is_here:
        return (
            f"the history archive is on, on {state.devices} devices; this one was linked without the history"
        )
    return (
        f"the history archive is on, on {state.devices} devices: {state.archived} messages are in it,"
        f" {state.waiting} wait to be written"
    )
