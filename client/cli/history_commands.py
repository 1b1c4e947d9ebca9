"""The commands `tokenim history-archive …`: what was said, kept for devices that come later."""

import click

from .output import Output
from .place import Place
from .run import Commands, json_option, run


@click.group("history-archive", cls=Commands)
def history_archive() -> None:
    """The history, sealed at the relay: for a new device, or after all are lost. Off unless you switch it on."""


@history_archive.command()
@json_option
@click.pass_obj
def on(place: Place, as_json: bool) -> None:
    """Keep all messages but disappearing ones, past and coming; the devices that you have now get its key.

    Whoever gets the recovery words, or a device, can then read back to the first message. Again: devices that were linked
    without the history get it too. What is not written at once is written while `listen` runs.
    """
    from . import history_work

    out = Output(as_json)
    run(place, out, history_work.on(place, out))


@history_archive.command()
@json_option
@click.pass_obj
def off(place: Place, as_json: bool) -> None:
    """Keep no history at the relay any more, and take away what is there; your devices keep what they have."""
    from . import history_work

    out = Output(as_json)
    run(place, out, history_work.off(place, out))


@history_archive.command()
@json_option
@click.pass_obj
def status(place: Place, as_json: bool) -> None:
    """Tell whether it is on, and how much is in it."""
    from . import history_work

    out = Output(as_json)
    run(place, out, history_work.status(place, out))
