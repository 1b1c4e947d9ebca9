"""What `tokenim link …` and `tokenim device …` do with the library. Lets every ClientError pass."""

from contextlib import suppress
from pathlib import Path

from client.client import Client
from client.devices.accepting import Wishes
from client.devices.device_list import OwnDevice
from client.devices.joining import Talk
from client.errors import RelayUnreachable, UsageError
from client.times import iso_time
from relay.wire.links import DeviceLink

from .output import Output, one_line
from .place import Place
from .qr import qr
from .questions import says_yes
from .work import open_client, this_device, this_system


async def show(place: Place, out: Output, origin: str, name: str | None, *, yes: bool) -> None:
    """Make this folder a new device: the code, the digits, the yes."""

    def show_link(link: DeviceLink) -> None:
        out.result(
            f"{qr(str(link))}\nOn a device that manages the account, within 60 seconds:\n\n    tokenim link accept '{link}'\n",
            {"type": "link", "link": str(link)},
        )

    async def confirm(digits: str) -> bool:
        _show_digits(out, digits)
        return yes or await says_yes("Does your other device show the same digits?")

    identity = await Client.link(
        place.home,
        origin,
        Talk(show_link, confirm),
        name=name or this_device(),
        passphrase=place.passphrase,
        system=this_system(),
    )
    out.shown(identity, f"linked: this is a device of account {identity.account} now")


def _show_digits(out: Output, digits: str) -> None:
    out.result(f"    {digits[:4]} {digits[4:]}", {"type": "digits", "digits": digits})


async def accept(
    place: Place, out: Output, link: str, *, manager: bool, with_history: bool, yes: bool
) -> None:
    """Take a new device in."""

    async def confirm(digits: str, name: str) -> bool:
        _show_digits(out, digits)
        return yes or await says_yes(f"Does the new device ({name}) show the same digits?")

    async with open_client(place) as client:
        linked = await client.devices.accept(link, Wishes(confirm, manager, with_history))
        known = (
            "it knows your contacts" if linked.is_handed_over else "it asks for your contacts when it comes"
        )
        out.shown(
            linked, f"linked: {one_line(linked.name)} ({linked.device}) is a device of yours now; {known}"
        )
        with suppress(RelayUnreachable):
            await client.settle()  # let it into the groups, as long as this device is awake


def _plain(device: OwnDevice) -> str:
    marks = [
        word
        for word, is_so in (
            ("this device", device.is_this),
            ("manager", device.manager),
            ("bot", device.bot),
            ("archive", device.archive),
        )
        if is_so
    ]
    seen = f", last seen {device.seen}" if device.seen else ""
    shown = f"{one_line(device.name)}  {device.device}  added {iso_time(device.added_at_ms)[:10]}{seen}"
    return f"{shown}  ({', '.join(marks)})" if marks else shown


async def list_devices(place: Place, out: Output) -> None:
    """Print the devices."""
    async with open_client(place) as client:
        for device in await client.devices.list():
            out.shown(device, _plain(device))


async def revoke(place: Place, out: Output, wanted: str, *, yes: bool) -> None:
    """Take a device out, after a yes."""
    async with open_client(place) as client:
        device = await client.devices.find(wanted)
        question = f"Revoke {device.name} ({device.device})? It reads and sends nothing any more, for good."
        if not yes and not await says_yes(question):
            raise UsageError("nothing was revoked: say yes, or give --yes")
        await client.devices.revoke(device.device)
    out.shown(device, f"revoked: {one_line(device.name)} ({device.device})")


async def delete_account(place: Place, out: Output, *, yes: bool) -> None:
    """Delete the account, after a yes."""
    question = "Delete this account with all its devices? Nobody can bring it back."
    if not yes and not await says_yes(question):
        raise UsageError("nothing was deleted: say yes, or give --yes")
    async with open_client(place) as client:
        is_gone = await client.devices.delete_account()
    done = (
        "deleted"
        if is_gone
        else "shut out for good; the relay's operator has to keep what it has for a while"
    )
    plain = f"{done}; what is in {place.home} stays until you remove that folder"
    out.result(plain, {"type": "deleted", "held": not is_gone})


async def export_account(place: Place, out: Output, file: Path) -> None:
    """Write what the relay holds about the account into a new file."""
    async with open_client(place) as client:
        size = await client.devices.export_account(file)
    told = {"type": "exported", "file": str(file), "bytes": size}
    out.result(f"wrote {one_line(str(file))}: {size:,} bytes", told)


async def rename(place: Place, out: Output, wanted: str, name: str) -> None:
    """Call a device by another name."""
    async with open_client(place) as client:
        device = await client.devices.rename(wanted, name)
    out.shown(device, _plain(device))


async def set_manager(place: Place, out: Output, wanted: str, *, manager: bool) -> None:
    """Let a device manage, or no more."""
    async with open_client(place) as client:
        device = await client.devices.set_manager(wanted, manager)
    out.shown(device, _plain(device))


async def set_silence(place: Place, out: Output, days: int) -> None:
    """After how many days without a connection devices are revoked."""
    async with open_client(place) as client:
        await client.devices.set_silence_days(days)
    plain = f"devices are revoked after {days} days without a connection" if days else "silent devices stay"
    out.result(plain, {"type": "setting", "name": "device_silence_days", "value": days})
