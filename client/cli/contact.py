"""`tokenim contact`: who may write, who asks, and who is cut off."""

import click

from .output import Output
from .place import Place
from .run import Commands, json_option, run

_patience = click.option(
    "--patience",
    "patience_seconds",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to try to reach the relay.",
)


@click.group(cls=Commands)
def contact() -> None:
    """Who may write, who asks, and who is cut off."""


@contact.command("list")
@json_option
@click.pass_obj
def list_(place: Place, as_json: bool) -> None:
    """List contacts, contact requests and who is blocked."""
    from . import contact_work

    out = Output(as_json)
    run(place, out, contact_work.list_all(place, out))


@contact.command()
@click.argument("who")
@_patience
@json_option
@click.pass_obj
def accept(place: Place, who: str, patience_seconds: float, as_json: bool) -> None:
    """Accept the contact request of WHO (as `send` does, too): they are told the way to write to this account."""
    from . import contact_work

    out = Output(as_json)
    run(place, out, contact_work.accept(place, out, who, patience_seconds))


@contact.command()
@click.argument("who")
@click.option(
    "--new-links", is_flag=True, help="Also put an end to the contact link and the directory's entry."
)
@_patience
@json_option
@click.pass_obj
def block(place: Place, who: str, new_links: bool, patience_seconds: float, as_json: bool) -> None:
    """Show nothing of WHO any more; all others get a new way to write, and the old one ends."""
    from . import contact_work

    out = Output(as_json)
    run(place, out, contact_work.block(place, out, who, patience_seconds, new_links=new_links))


@contact.command()
@click.argument("who")
@json_option
@click.pass_obj
def unblock(place: Place, who: str, as_json: bool) -> None:
    """Let WHO ask again: what they write is a contact request."""
    from . import contact_work

    out = Output(as_json)
    run(place, out, contact_work.unblock(place, out, who))
