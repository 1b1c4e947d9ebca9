"""The commands `tokenim group …`; docs/scripts.md says what scripts may rely on."""

from collections.abc import Callable, Coroutine
from typing import Any

import click

from .output import Output
from .place import Place
from .run import Commands, json_option, run

ROLES = ("listener", "member", "moderator", "admin", "owner")

_group = click.argument("group_id", metavar="GROUP")
_who = click.argument("who")
_role = click.option(
    "--role", type=click.Choice(ROLES), default="member", show_default=True, help="What they may do there."
)

_link_role = click.option(
    "--role",
    type=click.Choice(ROLES[:2]),
    default="member",
    show_default=True,
    help="What they may do there; promote them once they are in.",
)


@click.group(cls=Commands)
def group() -> None:
    """Make groups and change who is in them. GROUP is an id, its beginning, or a name that only one group here has."""


def _do(place: Place, as_json: bool, work: Callable[[Output], Coroutine[Any, Any, None]]) -> None:
    out = Output(as_json)
    run(place, out, work(out))


@group.command()
@click.argument("name")
@click.option(
    "--broadcast",
    is_flag=True,
    help="For many who only read: who joins costs the others nothing, and can read nothing earlier.",
)
@json_option
@click.pass_obj
def create(place: Place, name: str, broadcast: bool, as_json: bool) -> None:
    """Make a group called NAME; you are its owner."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.create(place, out, name, broadcast=broadcast))


@group.command("list")
@json_option
@click.pass_obj
def list_groups(place: Place, as_json: bool) -> None:
    """List your groups, and the ones you are invited to."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.list_groups(place, out))


@group.command()
@_group
@json_option
@click.pass_obj
def show(place: Place, group_id: str, as_json: bool) -> None:
    """Show a group: its members with their roles, who waits to be let in, who is banned."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.show(place, out, group_id))


@group.command()
@_group
@click.option(
    "--uses",
    type=click.IntRange(min=1, max=10_000),
    default=1,
    show_default=True,
    help="How many it lets in.",
)
@click.option(
    "--days", type=click.IntRange(min=1, max=365), default=7, show_default=True, help="How long it is good."
)
@_link_role
@click.option("--ask", is_flag=True, help="Who comes by it waits until somebody lets them in.")
@click.option(
    "--revoke", is_flag=True, help="Instead, close all links that this device gave out for the group."
)
@json_option
@click.pass_obj
def invite(
    place: Place, group_id: str, uses: int, days: int, role: str, ask: bool, revoke: bool, as_json: bool
) -> None:
    """Print a link by which others get into the group; whoever has it can use it."""
    from . import group_work

    if revoke:
        _do(place, as_json, lambda out: group_work.revoke_links(place, out, group_id))
    else:
        _do(
            place,
            as_json,
            lambda out: group_work.invite(place, out, group_id, uses=uses, days=days, role=role, ask=ask),
        )


@group.command()
@click.argument("link_or_group")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long to be let in; somebody who may add members has to be online.",
)
@json_option
@click.pass_obj
def join(place: Place, link_or_group: str, wait_seconds: float, as_json: bool) -> None:
    """Ask to be let in, by a link (`-` reads it from standard input) or into a group that you are invited to."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.join(place, out, link_or_group, wait_seconds))


@group.command()
@_group
@json_option
@click.pass_obj
def leave(place: Place, group_id: str, as_json: bool) -> None:
    """Leave a group: nothing of it is shown any more; others of it take you off the list."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.leave(place, out, group_id))


@group.command()
@_group
@_who
@_role
@json_option
@click.pass_obj
def add(place: Place, group_id: str, who: str, role: str, as_json: bool) -> None:
    """Invite WHO by message, or let in WHO waits; they are in as soon as they have said yes."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.add(place, out, group_id, who, role))


@group.command()
@_group
@_who
@json_option
@click.pass_obj
def remove(place: Place, group_id: str, who: str, as_json: bool) -> None:
    """Take WHO out of the group, or send away WHO waits; it reads nothing of what follows."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.remove(place, out, group_id, who))


@group.command()
@_group
@_who
@click.option("--lift", is_flag=True, help="Lift the ban instead.")
@json_option
@click.pass_obj
def ban(place: Place, group_id: str, who: str, lift: bool, as_json: bool) -> None:
    """Take WHO out, and let it in no more."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.ban(place, out, group_id, who, lift=lift))


@group.command()
@_group
@_who
@click.option("--lift", is_flag=True, help="Let it write again.")
@json_option
@click.pass_obj
def mute(place: Place, group_id: str, who: str, lift: bool, as_json: bool) -> None:
    """WHO may read, and not write."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.mute(place, out, group_id, who, lift=lift))


@group.command()
@_group
@_who
@click.argument("role", type=click.Choice(ROLES))
@json_option
@click.pass_obj
def promote(place: Place, group_id: str, who: str, role: str, as_json: bool) -> None:
    """Give WHO another role, a higher or a lower one."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.promote(place, out, group_id, who, role))


@group.command("set")
@_group
@click.argument("setting", type=click.Choice(["name", "about"]))
@click.argument("value")
@json_option
@click.pass_obj
def set_setting(place: Place, group_id: str, setting: str, value: str, as_json: bool) -> None:
    """Change what the group is called, or what it says about itself; an empty VALUE takes it away."""
    from . import group_work

    _do(place, as_json, lambda out: group_work.set_setting(place, out, group_id, setting, value))
