"""The commands `tokenim recovery …`: the words of an account, and the account from the words. No word on a command line."""

import click

from .output import Output
from .place import Place
from .run import Commands, json_option, run


@click.group(cls=Commands)
def recovery() -> None:
    """24 words that bring the account back when all its devices are lost."""


@recovery.command()
@click.option("--yes", is_flag=True, help="The words are safe: do not ask for some of them.")
@json_option
@click.pass_obj
def create(place: Place, yes: bool, as_json: bool) -> None:
    """Show the words, once you can write them down, and delete them here after you have typed some of them.

    From then on backups are made, which only the words open. With --json the words are asked for in one line of standard
    input, all of them; an empty line leaves them unconfirmed, to be shown again. On the first device of the account.
    """
    from . import recovery_work

    out = Output(as_json)
    run(place, out, recovery_work.create(place, out, yes=yes))


@recovery.command()
@click.argument("origin", metavar="RELAY")
@click.option("--name", help="What to call this device [default: the name of this machine].")
@click.option("--keep-devices", is_flag=True, help="Leave the other devices in the account.")
@click.option("--accept-older", is_flag=True, help="Take a backup that is older than the newest there was.")
@json_option
@click.pass_obj
def restore(
    place: Place, origin: str, name: str | None, keep_devices: bool, accept_older: bool, as_json: bool
) -> None:
    """Make this empty folder a device of the account of the words, which are read from standard input, in one line.

    RELAY is where the account is, as in https://relay.example. Contacts, groups and settings come from the backup; messages,
    if the history archive was on, with the next `listen`. All other devices are out of the account by that, unless
    --keep-devices. Cut off, the same call goes on.
    """
    from . import recovery_work

    out = Output(as_json)
    work = recovery_work.restore(
        place, out, origin, name, keep_devices=keep_devices, accept_older=accept_older
    )
    run(place, out, work)
