"""`tokenim-relay dashboard …`: a link by which a browser logs in to the page of the second listener."""

import json
import sys
from pathlib import Path

import click

from .options import Commands, config_option, data_option, json_option
from .reach import run_command


@click.group(cls=Commands)
def dashboard() -> None:
    """The page on which who runs the relay sees how it stands; the relay must run, with --admin-listen."""


@dashboard.command("link")
@click.option(
    "--account",
    "named",
    default="",
    metavar="ACCOUNT",
    help="Log in as this account, with what its role may; without: as who runs this command, who may do everything.",
)
@data_option
@config_option
@json_option
def dashboard_link(named: str, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print a link that logs one browser in, once, within ten minutes."""
    made = run_command(data, config, "dashboard.link", {"account": named})
    click.echo(json.dumps(made) if as_json else made["link"])
    if sys.stdout.isatty() and not as_json:
        minutes = made["seconds"] // 60
        click.echo(
            f"It logs one browser in, once, within {minutes} minutes. Whoever has it can do all that you can here."
        )
