"""`tokenim-relay serve`: the relay itself, until SIGTERM or Ctrl-C."""

import asyncio
import gc
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import config_option, data_option, fail, settings_of

if TYPE_CHECKING:
    from relay.adapters.data_folder import DataFolder
    from relay.config import Settings


@click.command()
@data_option
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 picks a free one.")
@config_option
def serve(data: Path | None, listen: str | None, config: Path | None) -> None:
    """Run the relay until SIGTERM or Ctrl-C."""
    from relay.adapters.data_folder import StartRefused, open_data_folder
    from relay.app import data_folder_of

    settings = settings_of(config, {"data": data, "listen": listen})
    os.umask(0o077)  # the database, its WAL and blobs are nobody else's business
    try:
        with open_data_folder(data_folder_of(settings)) as folder:
            asyncio.run(_serve(settings, folder))
    except StartRefused as error:
        fail(str(error), error.exit_code)


async def _serve(settings: "Settings", folder: "DataFolder") -> None:
    from relay.app import open_relay

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_relay(settings, folder) as relay:
        if relay.owner_invite is not None:
            print_invite(str(relay.owner_invite))
        click.echo(f"ready {relay.url}")
        if sys.stdout.isatty():
            click.echo(f"Data is in {folder.path}. Ctrl-C stops the relay.")
        sys.stdout.flush()
        gc.collect()
        gc.freeze()  # what is there for good is never looked at again: collections stay short
        await _until_told_or_broken(stop, relay.services.store.failed)


async def _until_told_or_broken(stop: asyncio.Event, store_failed: asyncio.Event) -> None:
    """Return when told to stop; raises StartRefused once the disk has failed under the store (F5)."""
    from relay.adapters.data_folder import StartRefused

    waits = [asyncio.ensure_future(event.wait()) for event in (stop, store_failed)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if store_failed.is_set():
        raise StartRefused(
            "the disk failed while storing; nothing unstored was accepted: check the disk, then start the relay again"
        )


def print_invite(link: str) -> None:
    """The line `invite LINK`; on a terminal with a QR code and what to do with it."""
    click.echo(f"invite {link}")
    if sys.stdout.isatty():
        import segno

        click.echo("\nWho registers with this link owns the relay. On this machine:\n")
        # From a checkout the command lies beside this one, and is not found by its name alone.
        command = "tokenim" if shutil.which("tokenim") else str(Path(sys.argv[0]).with_name("tokenim"))
        click.echo(f"  {command} --home ~/.tokenim/me register '{link}' --handle NAME\n")
        segno.make(link, error="l").terminal(out=sys.stdout, compact=True)
