"""The commands `tokenim invite …`; docs/scripts.md says what scripts may rely on."""

import click

from .output import Output
from .place import Place
from .run import Commands, json_option, run


@click.group(cls=Commands)
def invite() -> None:
    """Links by which others make accounts on this relay, where it lets accounts invite."""


@invite.command()
@click.option(
    "--guest", "guests", is_flag=True, help="For guests: they write to you alone, and their accounts go."
)
@click.option(
    "--uses",
    type=click.IntRange(min=1, max=10_000),
    default=1,
    show_default=True,
    help="How many accounts it makes.",
)
@click.option(
    "--days", type=click.IntRange(min=1, max=30), default=7, show_default=True, help="How long it is good."
)
@click.option(
    "--stay-days", type=click.IntRange(min=1, max=365), help="How long guests stay; 30 if it is not said."
)
@json_option
@click.pass_obj
def create(place: Place, guests: bool, uses: int, days: int, stay_days: int | None, as_json: bool) -> None:
    """Print a link that makes an account; whoever has it can use it."""
    from . import invite_work

    if stay_days is not None and not guests:
        raise click.UsageError("--stay-days is for guests: add --guest")
    out = Output(as_json)
    run(
        place,
        out,
        invite_work.create(place, out, guests=guests, uses=uses, days=days, stay_days=stay_days),
    )


@invite.command("list")
@json_option
@click.pass_obj
def show(place: Place, as_json: bool) -> None:
    """List the own links that are open; what opens them was shown once."""
    from . import invite_work

    out = Output(as_json)
    run(place, out, invite_work.show(place, out))


@invite.command()
@click.argument("name")
@json_option
@click.pass_obj
def revoke(place: Place, name: str, as_json: bool) -> None:
    """Close the link of this NAME (see list), or the beginning of it."""
    from . import invite_work

    out = Output(as_json)
    run(place, out, invite_work.revoke(place, out, name))
