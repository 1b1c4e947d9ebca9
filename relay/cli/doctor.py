"""`tokenim-relay doctor`: whether a relay can run here, before its first start and while it runs."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from .options import REFUSED, config_option, data_option, json_option


@click.command()
@data_option
@click.option("--listen", metavar="HOST:PORT", help="Where the relay is to listen.")
@config_option
@json_option
def doctor(data: Path | None, listen: str | None, config: Path | None, as_json: bool) -> None:
    """Check machine, settings and data folder, each in a line with its mend; exit 1 if one fails. Changes nothing."""
    from relay.upkeep import examine

    has_failed = False
    for finding in examine(config, {"data": data, "listen": listen}):
        has_failed |= finding.state == "failed"
        if as_json:
            click.echo(json.dumps(asdict(finding)))
            continue
        click.echo(f"{finding.state:<8} {finding.check:<12} {finding.found}")
        if finding.mend is not None:
            click.echo(f"{'':<21} → {finding.mend}")
    if has_failed:
        sys.exit(REFUSED)
