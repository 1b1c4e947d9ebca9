"""The commands `tokenim account …`: what becomes of the account as a whole."""

from pathlib import Path

import click

from .output import Output
from .place import Place
from .run import Commands, json_option, run


@click.group(cls=Commands)
def account() -> None:
    """This account as a whole."""


@account.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def export(place: Place, file: Path, as_json: bool) -> None:
    """Write all that the relay holds about this account into the new FILE, as JSON: no message can be read in it."""
    from . import device_work

    out = Output(as_json)
    run(place, out, device_work.export_account(place, out, file))


@account.command()
@click.option("--yes", is_flag=True, help="Ask nothing: for scripts.")
@json_option
@click.pass_obj
def delete(place: Place, yes: bool, as_json: bool) -> None:
    """Delete the account at the relay, for ever: what waits for it, its devices, handle and files.

    Only a device that manages the account can. What is on the devices, here and with others, stays.
    """
    from . import device_work

    out = Output(as_json)
    run(place, out, device_work.delete_account(place, out, yes=yes))
