"""The commands `tokenim profile …`: what this account says of itself to its contacts, and what they say."""

import click

from .output import Output
from .place import Place
from .run import Commands, json_option, run


@click.group(cls=Commands)
def profile() -> None:
    """What people say of themselves to their contacts: sealed, the relay reads none of it."""


@profile.command("set")
@click.argument("name")
@click.option("--about", default="", metavar="TEXT", help="A few words more.")
@json_option
@click.pass_obj
def set_(place: Place, name: str, about: str, as_json: bool) -> None:
    """Make NAME the own profile, in the place of the one before, and tell it to all contacts."""
    from . import profile_work

    out = Output(as_json)
    run(place, out, profile_work.set_own(place, out, name, about))


@profile.command()
@click.argument("who", required=False)
@json_option
@click.pass_obj
def show(place: Place, who: str | None, as_json: bool) -> None:
    """Show what WHO, a contact, says of itself now; of nobody: the own profile."""
    from . import profile_work

    out = Output(as_json)
    run(place, out, profile_work.show(place, out, who))
