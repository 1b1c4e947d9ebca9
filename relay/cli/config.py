"""`tokenim-relay config …`: the settings: a file to begin with, what is in effect and why, whether they can be used."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import (
    REFUSED,
    USAGE,
    Commands,
    config_option,
    data_option,
    fail,
    json_option,
    loaded_or_fail,
    settings_of,
)

if TYPE_CHECKING:
    from relay.config import Option, Source


@click.group("config", cls=Commands)
def config_group() -> None:
    """Write, show and check the settings."""


@config_group.command("init")
@data_option
@json_option
@click.argument("file", required=False, type=click.Path(path_type=Path))
def config_init(data: Path | None, as_json: bool, file: Path | None) -> None:
    """Write a FILE with every setting, its meaning and its default, to begin with; default: config.toml in the data folder."""
    from relay.config import FILE_NAME, commented_file

    os.umask(0o077)
    try:
        if file is None:
            folder = settings_of(None, {"data": data}).data.expanduser()
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / FILE_NAME
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as written:  # noqa: PTH123  (a descriptor, not a path)
            written.write(commented_file())
    except FileExistsError:
        fail(f"{file}: there is such a file already, and it stays as it is: choose another name", USAGE)
    except OSError as error:
        fail(f"{file}: cannot be written ({error.strerror})", REFUSED)
    click.echo(json.dumps({"file": str(file.absolute())}) if as_json else f"wrote {file}")


@config_group.command("show")
@data_option
@config_option
@json_option
def config_show(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print every setting as it is in effect, and where it was set: a file for --config."""
    from relay.config import options_of

    found = loaded_or_fail(config, {"data": data})
    for option in options_of(found.settings):
        click.echo(_row(option, found.source_of(option.name), as_json=as_json))


def _row(option: "Option", source: "Source", *, as_json: bool) -> str:
    from relay.config import plain, toml

    if as_json:
        told = {
            "name": option.name,
            "value": plain(option.value),
            "source": source.kind,
            "where": source.where or None,
        }
        more = {"description": option.description, "takes": option.allowed or None, "reload": option.reload}
        return json.dumps({**told, **more})
    set_to = (
        f"# {option.name} is not set" if option.value is None else f"{option.name} = {toml(option.value)}"
    )
    return f"{set_to}  # {source}: {option.description}"


@config_group.command("check")
@data_option
@config_option
@json_option
def config_check(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Say whether the settings and the files they name can be used; if not, which one and why."""
    from relay.adapters.data_folder import StartRefused
    from relay.app import tls_of

    try:
        settings = settings_of(config, {"data": data})
        tls_of(settings)
    except StartRefused as error:
        fail(str(error), error.exit_code)
    if as_json:
        roles = {name: list(permissions) for name, permissions in (settings.roles or {}).items()}
        click.echo(json.dumps({"ok": True, "roles": roles}))
        return
    for name, permissions in (settings.roles or {}).items():
        click.echo(f"role {name}: {', '.join(permissions) or 'no permissions'}")
    click.echo("the settings are in order")
