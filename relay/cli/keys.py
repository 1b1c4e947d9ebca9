"""`tokenim-relay keys …`: the keys under which the database seals what a thief of it must not read."""

import json
from pathlib import Path

import click

from .options import Commands, config_option, data_option, json_option
from .reach import run_command


@click.group(cls=Commands)
def keys() -> None:
    """Show and change the keys of sealed columns; on a running relay through its control socket."""


@keys.command("show")
@data_option
@config_option
@json_option
def keys_show(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print which keys there are and how many values each has sealed; no key itself."""
    for one in run_command(data, config, "keys.show", {})["keys"]:
        told = (
            "seals what is written" if one["current"] else "older: `tokenim-relay keys rotate` takes it away"
        )
        click.echo(json.dumps(one) if as_json else f"key {one['key']:>4}  {one['values']:>9,} values  {told}")


@keys.command("rotate")
@data_option
@config_option
@json_option
def keys_rotate(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Seal everything by a new key and forget the old one; a relay may run meanwhile, and what was cut off goes on."""
    values, forgotten, begin = 0, [], True
    while True:
        step = run_command(data, config, "keys.rotate", {"begin": begin})
        begin = False
        values += step["values"]
        forgotten += step["forgotten"]
        if step["done"]:
            break
        click.echo(f"{values:,} values so far …", err=True)
    if as_json:
        click.echo(json.dumps({"values": values, "forgotten": forgotten, "key": step["key"]}))
        return
    gone = ", ".join(map(str, forgotten)) or "none"
    click.echo(f"{values:,} values are sealed by key {step['key']}; forgotten: {gone}")
