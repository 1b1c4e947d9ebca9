"""`tokenim-relay retention …`: what is kept how long, removing it now, and accounts of which nothing goes for a while."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from .options import Commands, config_option, data_option, json_option
from .reach import run_command

_DAY: Final = 86_400


@click.group(cls=Commands)
def retention() -> None:
    """What is kept how long. ACCOUNT is a handle, an id, or the beginning of an id (8 characters or more)."""


def _time(seconds: int | None) -> str:
    if seconds is None:
        return "until removed"
    for size, unit in ((_DAY, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds // size:,} {unit}"
    return f"{seconds:,} seconds"


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%d}"


def _held(hold: Mapping[str, Any]) -> str:
    kept = f"{hold['envelopes']:,} expired envelopes kept ({hold['envelope_bytes']:,} bytes)"
    deleted = "  DELETED: it goes when the hold ends" if hold["is_deleted"] else ""
    return f"{hold['account']}  {hold['reason']:16}  until {_day(hold['until_ms'])}  {kept}{deleted}"


@retention.command("show")
@data_option
@config_option
@json_option
def retention_show(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print what is kept how long, of each kind, and the holds there are."""
    for kind in run_command(data, config, "retention.show", {})["kinds"]:
        by = f" [{kind['setting']}]" if kind["setting"] else ""
        plain = f"{kind['kind']:20} {_time(kind['seconds']):14} {kind['told']}{by}"
        click.echo(json.dumps(kind) if as_json else plain)
    for hold in run_command(data, config, "retention.holds", {})["holds"]:
        click.echo(json.dumps({"hold": hold}) if as_json else f"{'hold':20} {_held(hold)}")


@retention.command("run")
@data_option
@config_option
@json_option
def retention_run(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Remove now what is older than it may be, a bounded piece of each kind; a relay that runs does so by itself."""
    removed = run_command(data, config, "retention.run", {})["removed"]
    if as_json:
        click.echo(json.dumps(removed))
        return
    for kind, count in removed.items():
        click.echo(f"{kind:20} {count:,}")


@retention.command("hold")
@click.argument("named", metavar="ACCOUNT")
@click.option("--reason", required=True, metavar="WORD", help="Why: one word, like the number of a case.")
@click.option("--days", required=True, type=click.IntRange(1, 3_650), help="For how many days.")
@data_option
@config_option
@json_option
def retention_hold(
    named: str, reason: str, days: int, data: Path | None, config: Path | None, as_json: bool
) -> None:
    """Keep of an account what would go by its age, or with the account; once more: from now on so."""
    asked = {"account": named, "reason": reason, "days": days}
    hold = run_command(data, config, "retention.hold", asked)
    click.echo(json.dumps(hold) if as_json else f"{named}: held until {_day(hold['until_ms'])}")


@retention.command("release")
@click.argument("named", metavar="ACCOUNT")
@data_option
@config_option
@json_option
def retention_release(named: str, data: Path | None, config: Path | None, as_json: bool) -> None:
    """End the hold on an account: what it kept goes, and the account too if it was deleted."""
    hold = run_command(data, config, "retention.release", {"account": named})
    click.echo(
        json.dumps(hold)
        if as_json
        else f"{named}: released; what the hold kept goes within a minute while the relay runs"
    )
