"""`tokenim-relay config …`: the settings, looked at."""

import json
from pathlib import Path

import click

from .options import config_option, data_option, json_option, settings_of


@click.group("config")
def config_group() -> None:
    """Look at the settings."""


@config_group.command("show")
@data_option
@config_option
@json_option
def config_show(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print every setting as it is in effect: a file for --config."""
    from relay.config import effective

    for name, (value, description) in effective(settings_of(config, {"data": data})).items():
        shown = str(value) if isinstance(value, Path) else value
        if as_json:
            click.echo(json.dumps({"name": name, "value": shown, "description": description}))
        else:
            set_to = f"# {name} is not set" if shown is None else f"{name} = {json.dumps(shown)}"
            click.echo(f"{set_to}  # {description}")


@config_group.command("check")
@data_option
@config_option
def config_check(data: Path | None, config: Path | None) -> None:
    """Say whether the settings can be used."""
    settings_of(config, {"data": data})
    click.echo("the settings are in order")
