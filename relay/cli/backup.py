"""`tokenim-relay backup` and `restore`: all of a data folder as one file, and back; `restored`: of several nodes."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from .options import config_option, data_option, fail, json_option, settings_of
from .progress import Progress
from .reach import run_command


@click.command()
@data_option
@config_option
@json_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(data: Path | None, config: Path | None, as_json: bool, file: Path) -> None:
    """Write a backup to FILE, while the relay runs or not, and check it.

    The file holds the relay's signing key: who has it can pose as this relay. Keep it as you keep the data folder.
    """
    from relay.adapters.data_folder import StartRefused
    from relay.upkeep import back_up
    from relay.wire.links import encode_id

    settings = settings_of(config, {"data": data})
    os.umask(0o077)
    progress = Progress()
    try:
        made = back_up(settings, file, config=config, told=progress.told)
    except StartRefused as error:
        progress.end()
        fail(str(error), error.exit_code)
    progress.end()
    run_command(data, config, "backup", {"bytes": made.file_bytes})
    damaged = [encode_id(blob_id) for blob_id in made.damaged]
    if as_json:
        manifest = made.manifest.model_dump(exclude={"parts"})
        click.echo(
            json.dumps(
                {"file": str(made.file), "bytes": made.file_bytes, **manifest, "damaged_blobs": damaged}
            )
        )
        return
    blobs = made.manifest.blobs
    click.echo(f"{made.file}: {made.file_bytes} bytes, {blobs} blob{'' if blobs == 1 else 's'}, checked")
    for name in damaged:
        click.echo(f"left out, for its bytes are damaged on the disk: blob {name}", err=True)


@click.command()
@data_option
@config_option
@json_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def restore(data: Path | None, config: Path | None, as_json: bool, file: Path) -> None:
    """Put the backup FILE back into an empty data folder, checked first.

    Clients that come back tell their users of the gap, and bring the relay what it has lost as far as they know it.
    """
    from relay.adapters.backup.layout import SETTINGS
    from relay.adapters.data_folder import StartRefused
    from relay.upkeep import put_back

    settings = settings_of(config, {"data": data})
    os.umask(0o077)
    progress = Progress()
    try:
        manifest = put_back(settings, file, told=lambda done, of: progress.told("restoring", done, of))
    except StartRefused as error:
        progress.end()
        fail(str(error), error.exit_code)
    progress.end()
    path = settings.data_folder
    if as_json:
        click.echo(json.dumps({"data": str(path), **manifest.model_dump(exclude={"parts"})}))
        return
    made = datetime.fromtimestamp(manifest.made_at_ms / 1_000, UTC)
    click.echo(
        f"{path}: as it was at {made:%Y-%m-%d %H:%M:%S} UTC; start the relay with `tokenim-relay serve`"
    )
    if SETTINGS in manifest.parts:
        click.echo(f"the settings file of that time is {path / SETTINGS}; --config uses it")


@click.command()
@data_option
@config_option
@json_option
def restored(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Say that PostgreSQL's own tools put the database back to an earlier moment, before any node starts on it.

    What clients have seen since is not given again: mailboxes go on above it, unused one-time keys are dropped and made
    anew, and clients tell their users of the gap.
    """
    from relay.adapters.data_folder import StartRefused
    from relay.upkeep import tell_restored

    try:
        tell_restored(settings_of(config, {"data": data}))
    except StartRefused as error:
        fail(str(error), error.exit_code)
    click.echo(json.dumps({"restored": True}) if as_json else "noted: start the nodes")
