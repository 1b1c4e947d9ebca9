"""`tokenim-relay migrate …`: all that a relay keeps from SQLite to PostgreSQL, or back."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from .options import REFUSED, Commands, config_option, data_option, fail, json_option, settings_of
from .progress import Progress

if TYPE_CHECKING:
    from relay.moves import Moved

T = TypeVar("T")
_keep_blobs = click.option(
    "--keep-blobs", is_flag=True, help="Files stay where they are, in the folder or the bucket."
)


@click.group(cls=Commands)
def migrate() -> None:
    """Move a relay between SQLite and PostgreSQL; cut off, the same command goes on."""


@migrate.command("sqlite-to-postgres")
@_keep_blobs
@data_option
@config_option
@json_option
def sqlite_to_postgres(keep_blobs: bool, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Copy the data folder's database into the empty one of postgres.url, compare both row by row, and switch.

    A relay that runs is read-only meanwhile, and ends by itself. Files go first, if the settings name a bucket for them.
    """
    from relay.moves import to_postgres

    progress = Progress()
    settings = settings_of(config, {"data": data})
    moved = _run(lambda: to_postgres(settings, progress.counted, keep_blobs=keep_blobs), progress)
    _tell(moved, "start the nodes: PostgreSQL has the relay now", as_json=as_json)


@migrate.command("postgres-to-sqlite")
@_keep_blobs
@data_option
@config_option
@json_option
def postgres_to_sqlite(keep_blobs: bool, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Copy the database of postgres.url into the data folder, compare both row by row, and switch.

    Files come out of the bucket of s3.bucket, if the settings name one.
    """
    from relay.moves import to_sqlite

    progress = Progress()
    settings = settings_of(config, {"data": data})
    moved = _run(lambda: to_sqlite(settings, progress.counted, keep_blobs=keep_blobs), progress)
    _tell(
        moved, "take postgres.url out of the settings and start the relay: SQLite has it now", as_json=as_json
    )


@migrate.command("abandon")
@data_option
@config_option
@json_option
def abandon_move(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Leave the relay where it was before a move that is not finished."""
    from relay.moves import abandon

    settings = settings_of(config, {"data": data})
    mark = _run(lambda: abandon(settings), Progress())
    if as_json:
        click.echo(json.dumps({"abandoned": mark.target}))
    elif mark.target == "postgres":
        click.echo("the relay is on SQLite, as before; drop the half-filled database of PostgreSQL")
    else:
        click.echo("the relay is in PostgreSQL, as before; the draft in the folder is gone")


def _run(work: Callable[[], Coroutine[None, None, T]], progress: Progress) -> T:
    from relay.adapters.data_folder import StartRefused
    from relay.wire.errors import RelayError

    os.umask(0o077)
    try:
        try:
            return asyncio.run(work())
        finally:
            progress.end()
    except StartRefused as error:
        fail(str(error), error.exit_code)
    except RelayError as error:
        fail(f"{error}; run this again, it goes on", REFUSED, error.code)


def _tell(moved: "Moved", done: str, *, as_json: bool) -> None:
    """Table by table, then the files; ends with REFUSED if anything is not alike."""
    from relay.wire.links import encode_id

    for one in moved.tables:
        if as_json:
            click.echo(json.dumps({**asdict(one), "alike": one.alike}))
            continue
        state = "alike" if one.alike else f"DIFFERS from {one.first} on: {one.target_rows:,} rows there"
        click.echo(f"{one.table:<20} {one.source_rows:>12,} rows  {one.source_sha256[:16]}  {state}")
    blobs = moved.blobs
    if blobs is not None:
        unlike, damaged = ([encode_id(blob_id) for blob_id in ids] for ids in (blobs.unlike, blobs.damaged))
        if as_json:
            told = {"copied": blobs.copied, "there": blobs.there, "bytes": blobs.size}
            click.echo(json.dumps({"blobs": {**told, "unlike": unlike, "damaged": damaged}}))
        else:
            click.echo(
                f"{'files':<20} {blobs.copied:>12,} copied ({blobs.size:,} bytes), {blobs.there:,} there already"
            )
            for name in damaged:
                click.echo(f"left out, for its bytes were damaged before: blob {name}", err=True)
            for name in unlike:
                click.echo(f"DIFFERS: blob {name}", err=True)
    for line in moved.orphans:
        click.echo(f"DIFFERS: {line}", err=True)
    if not moved.finished:
        fail(
            "not alike, so nothing was switched: `tokenim-relay migrate abandon` leaves the relay where it is",
            REFUSED,
        )
    click.echo(json.dumps({"finished": True}) if as_json else done)
