"""`tokenim-relay keys …`: the keys under which the database seals what a thief of it must not read."""

import json
from pathlib import Path

import click

from .options import REFUSED, Commands, config_option, data_option, fail, json_option, settings_of
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
    found = run_command(data, config, "keys.show", {})["keys"]
    current = max((one["key"] for one in found if one["current"]), default=0)
    for one in found:
        if one["current"]:
            told = "seals what is written"
        elif one["key"] > current:
            told = "not used yet: `tokenim-relay keys rotate`, once each node has it"
        else:
            told = "older: `tokenim-relay keys rotate` takes it away"
        click.echo(json.dumps(one) if as_json else f"key {one['key']:>4}  {one['values']:>9,} values  {told}")


@keys.command("add")
@data_option
@config_option
@json_option
def keys_add(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Put a new key into this node's key file, to be copied to all nodes: before a rotation where several share a database."""
    from relay.adapters.column_keys import add_key
    from relay.adapters.data_folder import DataFolder, StartRefused

    settings = settings_of(config, {"data": data})
    if not settings.is_cluster:
        fail(
            "this relay shares its database with no other: `tokenim-relay keys rotate` makes the key", REFUSED
        )
    file = settings.column_keys_file or DataFolder(settings.data_folder).column_keys_file
    try:
        added = add_key(file)
    except StartRefused as error:
        fail(str(error), error.exit_code)
    if as_json:
        click.echo(json.dumps({"file": str(file), "key": added}))
        return
    click.echo(
        f"key {added} is in {file}: copy that file to each node and send SIGHUP to each, then `keys rotate`"
    )


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
