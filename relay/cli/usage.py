"""`tokenim-relay usage`: how much the relay was used, by day, in numbers that name nobody."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import click

from .options import config_option, data_option, json_option
from .reach import run_command

_EPOCH: Final = date(1970, 1, 1)


@click.command()
@click.option(
    "--days", type=click.IntRange(1, 400), default=30, show_default=True, help="Of so many days before today."
)
@data_option
@config_option
@json_option
def usage(days: int, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print the devices that were here and the envelopes accepted, of each day (UTC) that is over, rounded down."""
    told = run_command(data, config, "usage.show", {"days": days})["days"]
    if not told and not as_json:
        click.echo("no day has ended yet: the first is told after midnight UTC")
    for one in told:
        day = f"{_EPOCH + timedelta(days=one['day']):%Y-%m-%d}"
        click.echo(json.dumps({**one, "day": day}) if as_json else f"{day}  {_shown(one)}")


def _shown(one: Mapping[str, Any]) -> str:
    if one["active_devices"] is None:
        return "fewer than 10 devices"
    accepted = "  ".join(f"{_least(count, 100):>11} of ≤ {name}" for name, count in one["accepted"].items())
    return f"{one['active_devices']:>9,} devices  {accepted}"


def _least(count: int, step: int) -> str:
    """What was rounded down to nothing, in words."""
    return f"{count:,}" if count else f"under {step}"
