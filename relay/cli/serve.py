"""`tokenim-relay serve`: the relay itself, until SIGTERM or Ctrl-C."""

import asyncio
import gc
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import config_option, data_option, fail, json_option, loaded, settings_of

if TYPE_CHECKING:
    from relay.adapters.data_folder import DataFolder
    from relay.app import Relay
    from relay.config import Settings

YOUNG_OBJECTS = 10_000
"""So many new objects before the youngest are looked at, not 700: what a group of envelopes is made of is gone by then."""


@click.command()
@data_option
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 picks a free one.")
@click.option(
    "--admin-listen",
    metavar="HOST:PORT",
    help="Where to serve the dashboard and figures to who runs the relay; off without.",
)
@config_option
@json_option
def serve(
    data: Path | None, listen: str | None, admin_listen: str | None, config: Path | None, as_json: bool
) -> None:
    """Run the relay until SIGTERM or Ctrl-C, or until it was moved; SIGHUP reads the settings again."""
    from relay.adapters.data_folder import StartRefused, open_data_folder
    from relay.adapters.process import raise_descriptors

    command_line: dict[str, Any] = {"data": data, "listen": listen}
    if admin_listen is not None:
        command_line["admin"] = {"listen": admin_listen}
    settings = settings_of(config, command_line)
    raise_descriptors()
    os.umask(0o077)  # the database, its WAL and blobs are nobody else's business
    try:
        with open_data_folder(settings.data_folder) as folder:
            asyncio.run(
                _serve(settings, folder, lambda: loaded(config, command_line).settings, as_json=as_json)
            )
    except StartRefused as error:
        fail(str(error), error.exit_code)


async def _serve(
    settings: "Settings", folder: "DataFolder", load: Callable[[], "Settings"], *, as_json: bool
) -> None:
    from relay.app import open_relay
    from relay.services.roles import Authority

    stop, hang_up = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    # To a relay in a terminal it says that this was closed.
    loop.add_signal_handler(signal.SIGHUP, stop.set if sys.stdin and sys.stdin.isatty() else hang_up.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_relay(settings, folder) as relay:
        if relay.owner_invite is not None:
            print_invite(str(relay.owner_invite), as_json=as_json)
        if relay.admin_url is not None:
            _tell("admin", relay.admin_url, as_json=as_json)
        _tell("ready", relay.url, as_json=as_json)
        if sys.stdout.isatty() and not as_json:
            if relay.admin_url is not None and settings.serves_clients:
                made = await relay.commands.run("dashboard.link", {}, by=Authority.of_machine(os.getuid()))
                click.echo(
                    f"\nThe dashboard, for one browser, once, within ten minutes:\n\n  {made['link']}\n"
                )
            click.echo(f"Data is in {folder.path}. Ctrl-C stops the relay.")
        sys.stdout.flush()
        gc.collect()
        gc.freeze()  # what is there for good is never looked at again: collections stay short
        gc.set_threshold(YOUNG_OBJECTS)
        reloading = asyncio.create_task(_reload_when_told(relay, hang_up, load))
        try:
            await _until_told_or_broken(stop, relay.services.store.failed, relay.moved)
        finally:
            reloading.cancel()


async def _reload_when_told(relay: "Relay", hang_up: asyncio.Event, load: Callable[[], "Settings"]) -> None:
    """At each SIGHUP read the settings again; what cannot be used is told, and nothing changes."""
    from relay.config import ConfigInvalid

    while True:
        await hang_up.wait()
        hang_up.clear()
        try:
            await relay.reload(await asyncio.to_thread(load))
        except ConfigInvalid as error:
            await relay.reload_refused(str(error))
        except Exception as error:  # noqa: BLE001  (a bug; the next signal is heard all the same)
            relay.services.log.failure("reload_failed", error)


async def _until_told_or_broken(
    stop: asyncio.Event, store_failed: asyncio.Event, moved: asyncio.Event
) -> None:
    """Return when told to stop, or once PostgreSQL has the relay; raises StartRefused once the disk has failed (F5)."""
    from relay.adapters.data_folder import StartRefused

    waits = [asyncio.ensure_future(event.wait()) for event in (stop, store_failed, moved)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if store_failed.is_set():
        raise StartRefused(
            "the disk failed while storing; nothing unstored was accepted: check the disk, then start the relay again"
        )


def _tell(word: str, what: str, *, as_json: bool) -> None:
    click.echo(json.dumps({word: what}) if as_json else f"{word} {what}")


def print_invite(link: str, *, as_json: bool = False) -> None:
    """The line `invite LINK`; on a terminal with a QR code and what to do with it."""
    _tell("invite", link, as_json=as_json)
    if sys.stdout.isatty() and not as_json:
        import segno

        click.echo("\nWho registers with this link owns the relay. On this machine:\n")
        # From a checkout the command lies beside this one, and is not found by its name alone.
        command = "tokenim" if shutil.which("tokenim") else str(Path(sys.argv[0]).with_name("tokenim"))
        click.echo(f"  {command} --home ~/.tokenim/me register '{link}' --handle NAME\n")
        segno.make(link, error="l").terminal(out=sys.stdout, compact=True)
