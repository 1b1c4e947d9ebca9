"""`tokenim-relay doctor`: whether a relay can run here, before its first start and while it runs."""

import json
import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import REFUSED, config_option, data_option, json_option, loaded

if TYPE_CHECKING:
    from relay.adapters.doctor.findings import Finding
    from relay.config import Settings


@click.command()
@data_option
@click.option("--listen", metavar="HOST:PORT", help="Where the relay is to listen.")
@config_option
@json_option
def doctor(data: Path | None, listen: str | None, config: Path | None, as_json: bool) -> None:
    """Check machine, settings and data folder, each in a line with its mend; exit 1 if one fails. Changes nothing."""
    from relay.upkeep import examine

    settings, in_order = _settings(data, listen, config)
    has_failed = False
    for finding in chain((in_order,), examine(settings)):
        has_failed |= finding.state == "failed"
        if as_json:
            click.echo(json.dumps(asdict(finding)))
            continue
        click.echo(f"{finding.state:<8} {finding.check:<12} {finding.found}")
        if finding.mend is not None:
            click.echo(f"{'':<21} → {finding.mend}")
    if has_failed:
        sys.exit(REFUSED)


def _settings(data: Path | None, listen: str | None, config: Path | None) -> "tuple[Settings, Finding]":
    """What a relay would run with, and whether that is in order; if not, the defaults stand in for the other checks."""
    from relay.adapters.doctor.findings import failed, ok
    from relay.config import ConfigInvalid, load_settings

    try:
        settings = loaded(config, {"data": data, "listen": listen}).settings
    except ConfigInvalid as error:
        mend = "correct it: `tokenim-relay config check` says when it is right"
        defaults = load_settings(file=None, environment={}, command_line={"data": data})
        return defaults, failed("config", str(error), mend)
    return settings, ok("config", "in order")
