"""The commands `tokenim link …` and `tokenim device …`: more devices for one account."""

import sys

import click

from .output import Output
from .place import Place
from .run import Commands, json_option, run

_yes_option = click.option("--yes", is_flag=True, help="Ask nothing: for scripts.")
_wanted = click.argument("wanted", metavar="DEVICE")


@click.group(cls=Commands)
def link() -> None:
    """Make this folder a device of an account that is elsewhere, or take a new device in."""


@link.command()
@click.argument("origin", metavar="RELAY")
@click.option("--name", help="What to call this device [default: the name of this machine].")
@_yes_option
@json_option
@click.pass_obj
def show(place: Place, origin: str, name: str | None, yes: bool, as_json: bool) -> None:
    """On the new machine: show a code that a manager of the account takes within 60 seconds.

    RELAY is where the account is, as in https://relay.example (`tokenim whoami` tells it). Both show the same digits:
    only then say yes. Cut off after that, the same call goes on where it was.
    """
    from . import device_work

    out = Output(as_json)
    run(place, out, device_work.show(place, out, origin, name, yes=yes))


@link.command()
@click.argument("code", metavar="LINK")
@click.option("--manager", is_flag=True, help="Let the new device add and revoke devices too.")
@click.option(
    "--with-history",
    is_flag=True,
    help="Let it read what was said before, from the history archive; else it begins with what comes.",
)
@_yes_option
@json_option
@click.pass_obj
def accept(place: Place, code: str, manager: bool, with_history: bool, yes: bool, as_json: bool) -> None:
    """On a manager of the account: take the new device in that shows LINK (`-` reads it from standard input).

    Within 60 seconds, and once. Both show the same digits: only then say yes.
    """
    from . import device_work

    text = sys.stdin.readline() if code == "-" else code
    out = Output(as_json)
    run(
        place,
        out,
        device_work.accept(place, out, text.strip(), manager=manager, with_history=with_history, yes=yes),
    )


@click.group(cls=Commands)
def device() -> None:
    """The devices of this account. DEVICE is a name, an id, or the beginning of an id."""


@device.command("list")
@json_option
@click.pass_obj
def list_(place: Place, as_json: bool) -> None:
    """Print the devices: which one this is, which may manage, when each was last seen."""
    from . import device_work

    out = Output(as_json)
    run(place, out, device_work.list_devices(place, out))


@device.command()
@_wanted
@_yes_option
@json_option
@click.pass_obj
def revoke(place: Place, wanted: str, yes: bool, as_json: bool) -> None:
    """Take another DEVICE out of the account, for good: it gets and sends nothing any more."""
    from . import device_work

    out = Output(as_json)
    run(place, out, device_work.revoke(place, out, wanted, yes=yes))


@device.command()
@_wanted
@click.argument("name")
@json_option
@click.pass_obj
def rename(place: Place, wanted: str, name: str, as_json: bool) -> None:
    """Call a DEVICE by another NAME, on all devices."""
    from . import device_work

    out = Output(as_json)
    run(place, out, device_work.rename(place, out, wanted, name))


@device.command()
@_wanted
@json_option
@click.pass_obj
def promote(place: Place, wanted: str, as_json: bool) -> None:
    """Let a DEVICE add and revoke devices too."""
    from . import device_work

    out = Output(as_json)
    run(place, out, device_work.set_manager(place, out, wanted, manager=True))


@device.command()
@_wanted
@json_option
@click.pass_obj
def demote(place: Place, wanted: str, as_json: bool) -> None:
    """Let a DEVICE add and revoke devices no more."""
    from . import device_work

    out = Output(as_json)
    run(place, out, device_work.set_manager(place, out, wanted, manager=False))


@device.command()
@click.argument("days", type=click.IntRange(min=0))
@json_option
@click.pass_obj
def silence(place: Place, days: int, as_json: bool) -> None:
    """Revoke devices that were not connected for more than DAYS days (45 unless set; 0: never)."""
    from . import device_work

    out = Output(as_json)
    run(place, out, device_work.set_silence(place, out, days))
