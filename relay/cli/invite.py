"""`tokenim-relay invite …`: links that make accounts."""

import json
from pathlib import Path

import click

from .options import Commands, config_option, data_option, json_option
from .reach import run_command


@click.group(cls=Commands)
def invite() -> None:
    """Make, list and revoke invites; on a running relay through its control socket."""


@invite.command("create")
@data_option
@config_option
@click.option("--role", default="member", show_default=True, help="What the account may do here.")
@click.option("--uses", default=1, show_default=True, help="How many accounts it makes.")
@click.option("--days", type=int, help="How long it is good; without: until it is used or revoked.")
@click.option(
    "--host",
    "hosts",
    metavar="ACCOUNT",
    multiple=True,
    help="For guests: whom they may write to; repeatable.",
)
@click.option("--stay-days", type=int, help="For guests: how long their accounts live; 30 if it is not said.")
@json_option
def invite_create(
    data: Path | None,
    config: Path | None,
    role: str,
    uses: int,
    days: int | None,
    hosts: tuple[str, ...],
    stay_days: int | None,
    as_json: bool,
) -> None:
    """Make an invite and print its link. `--role guest --host ACCOUNT`: for guests, whose accounts go after a while."""
    arguments = {
        "role": role,
        "uses": uses,
        "ttl_seconds": None if days is None else days * 86_400,
        "hosts": list(hosts),
        "stay_seconds": None if stay_days is None else stay_days * 86_400,
    }
    made = run_command(data, config, "invite.create", arguments)
    click.echo(json.dumps(made) if as_json else made["link"])


@invite.command("list")
@data_option
@config_option
@json_option
def invite_list(data: Path | None, config: Path | None, as_json: bool) -> None:
    """List the invites that can still be used; their links are not kept."""
    for one in run_command(data, config, "invite.list", {})["invites"]:
        if as_json:
            click.echo(json.dumps(one))
        else:
            click.echo(
                f"{one['name']}  {one['role']:<9}  {one['uses_left']} left  {_until(one['expires_at_ms'])}"
            )


def _until(expires_at_ms: int | None) -> str:
    from datetime import UTC, datetime

    if expires_at_ms is None:
        return "no end"
    return f"until {datetime.fromtimestamp(expires_at_ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC"


@invite.command("revoke")
@data_option
@config_option
@click.argument("name")
@json_option
def invite_revoke(data: Path | None, config: Path | None, name: str, as_json: bool) -> None:
    """Revoke the invite of this NAME (see list), or the beginning of it."""
    revoked = run_command(data, config, "invite.revoke", {"name": name})
    click.echo(json.dumps(revoked) if as_json else f"revoked {revoked['name']}")
