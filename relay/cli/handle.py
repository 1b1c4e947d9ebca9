"""`tokenim-relay handle …`: handles that nobody gets, or one account alone."""

import json
from pathlib import Path

import click

from .options import Commands, config_option, data_option, json_option
from .reach import run_command

_PAGE = 1_000


@click.group(cls=Commands)
def handle() -> None:
    """Handles that are kept from everybody, or for one account; on a running relay through its control socket."""


@handle.command("reserve")
@click.argument("name", metavar="HANDLE")
@click.option("--for", "account", default="", metavar="ACCOUNT", help="Who may take it; else nobody may.")
@data_option
@config_option
@json_option
def handle_reserve(name: str, account: str, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Keep a handle that nobody has back."""
    told = run_command(data, config, "handle.reserve", {"handle": name, "account": account})
    click.echo(json.dumps(told) if as_json else f"reserved {_shown(told)}")


@handle.command("release")
@click.argument("name", metavar="HANDLE")
@data_option
@config_option
@json_option
def handle_release(name: str, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Keep a handle back no longer: whoever comes may take it."""
    told = run_command(data, config, "handle.release", {"handle": name})
    click.echo(json.dumps(told) if as_json else f"released {told['handle']}")


@handle.command("list")
@data_option
@config_option
@json_option
def handle_list(data: Path | None, config: Path | None, as_json: bool) -> None:
    """List the handles that are kept back."""
    after = ""
    while True:
        page = run_command(data, config, "handle.list", {"after": after, "limit": _PAGE})["handles"]
        for one in page:
            click.echo(json.dumps(one) if as_json else _shown(one))
        if len(page) < _PAGE:
            return
        after = page[-1]["handle"]


def _shown(told: dict[str, str | None]) -> str:
    return f"{told['handle']}  for {told['account'] or 'nobody'}"
