"""`tokenim-relay`: serve, invites, settings. Each failure is one line on stderr; exit 0 done, 1 refused, 2 usage.

Only this file and config.py know that there is a terminal and an environment.
"""

import asyncio
import gc
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from relay import __version__

if TYPE_CHECKING:
    from relay.adapters.data_folder import DataFolder
    from relay.config import Settings

REFUSED: Final = 1
USAGE: Final = 2


def _fail(line: str, exit_code: int) -> NoReturn:
    click.echo(f"tokenim-relay: {line}", err=True)
    sys.exit(exit_code)


def _settings(config: Path | None, command_line: Mapping[str, Any]) -> "Settings":
    from relay.config import ConfigInvalid, load_settings, process_environment

    try:
        return load_settings(file=config, environment=process_environment(), command_line=command_line)
    except ConfigInvalid as error:
        _fail(str(error), USAGE)


_data = click.option("--data", type=click.Path(path_type=Path), help="The data folder.")
_config = click.option("--config", type=click.Path(path_type=Path), help="A TOML file with settings.")
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tokenim-relay")
def main() -> None:
    """An instant-messaging relay that cannot read what it carries."""


@main.command()
@_data
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 picks a free one.")
@_config
def serve(data: Path | None, listen: str | None, config: Path | None) -> None:
    """Run the relay until SIGTERM or Ctrl-C."""
    from relay.adapters.data_folder import StartRefused, open_data_folder
    from relay.app import data_folder_of

    settings = _settings(config, {"data": data, "listen": listen})
    os.umask(0o077)  # the database, its WAL and blobs are nobody else's business
    try:
        with open_data_folder(data_folder_of(settings)) as folder:
            asyncio.run(_serve(settings, folder))
    except StartRefused as error:
        _fail(str(error), error.exit_code)


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


@main.group()
def invite() -> None:
    """Make, list and revoke invites; on a running relay through its control socket."""


def _run_command(
    data: Path | None, config: Path | None, command: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Ask the running relay, or, where none runs, do it here under the folder's lock."""
    from relay.adapters.data_folder import StartRefused, open_data_folder
    from relay.app import data_folder_of, open_commands
    from relay.control.channel import CommandRefused, NoRelay, ask
    from relay.wire.errors import RelayError

    settings = _settings(config, {"data": data})
    path = data_folder_of(settings)

    async def here(folder: "DataFolder") -> dict[str, Any]:
        async with open_commands(settings, folder) as commands:
            return await commands.run(command, arguments)

    try:
        try:
            return ask(path, command, arguments)
        except NoRelay:
            os.umask(0o077)
            with open_data_folder(path, create=False) as folder:
                return asyncio.run(here(folder))
    except StartRefused as error:
        _fail(str(error), error.exit_code)
    except CommandRefused as error:
        _fail(f"{error.code}: {error}", REFUSED)
    except RelayError as error:
        _fail(f"{error.code}: {error}", REFUSED)


@invite.command("create")
@_data
@_config
@click.option("--role", default="member", show_default=True, help="What the account may do here.")
@click.option("--uses", default=1, show_default=True, help="How many accounts it makes.")
@click.option("--days", type=int, help="How long it is good; without: until it is used or revoked.")
@_as_json
def invite_create(
    data: Path | None, config: Path | None, role: str, uses: int, days: int | None, as_json: bool
) -> None:
    """Make an invite and print its link."""
    arguments = {"role": role, "uses": uses, "ttl_seconds": None if days is None else days * 86_400}
    made = _run_command(data, config, "invite.create", arguments)
    click.echo(json.dumps(made) if as_json else made["link"])


@invite.command("list")
@_data
@_config
@_as_json
def invite_list(data: Path | None, config: Path | None, as_json: bool) -> None:
    """List the invites that can still be used; their links are not kept."""
    for one in _run_command(data, config, "invite.list", {})["invites"]:
        if as_json:
            click.echo(json.dumps(one))
        else:
            click.echo(
                f"{one['name']}  {one['role']:<9}  {one['uses_left']} left  {_until(one['expires_at_ms'])}"
            )


def _until(expires_at_ms: int | None) -> str:
    from datetime import UTC, datetime

    if expires_at_ms is None:
        return "no end"
    return f"until {datetime.fromtimestamp(expires_at_ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC"


@invite.command("revoke")
@_data
@_config
@click.argument("name")
@_as_json
def invite_revoke(data: Path | None, config: Path | None, name: str, as_json: bool) -> None:
    """Revoke the invite of this NAME (see list), or the beginning of it."""
    revoked = _run_command(data, config, "invite.revoke", {"name": name})
    click.echo(json.dumps(revoked) if as_json else f"revoked {revoked['name']}")


@main.group()
def transparency() -> None:
    """The transparency log: its signed head, and whether it fits what the relay keeps."""


@transparency.command("head")
@_data
@_config
@_as_json
def transparency_head(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print the newest signed head: kept elsewhere, it shows later whether the log only grew."""
    head = _run_command(data, config, "transparency.head", {})
    if as_json:
        click.echo(json.dumps(head))
    else:
        for name, value in head.items():
            click.echo(f"{name:<8} {value}")


@transparency.command("verify")
@_data
@_config
@click.option(
    "--head", "heads", multiple=True, help="A head printed earlier: the log must begin with its leaves."
)
@_as_json
def transparency_verify(
    data: Path | None, config: Path | None, heads: tuple[str, ...], as_json: bool
) -> None:
    """Compute the log anew and compare it with accounts, manifests and handles; a relay may run meanwhile."""
    from relay.adapters.data_folder import StartRefused
    from relay.app import verify_log
    from relay.wire.errors import MalformedRequest
    from relay.wire.links import decode_bytes, encode_bytes

    try:
        verdict = verify_log(_settings(config, {"data": data}), [decode_bytes(head) for head in heads])
    except StartRefused as error:
        _fail(str(error), error.exit_code)
    except (MalformedRequest, ValueError) as error:
        _fail(f"--head: {error}", USAGE)
    for fault in verdict.faults:
        where = "log" if fault.leaf is None else f"leaf {fault.leaf}"
        click.echo(
            json.dumps({"leaf": fault.leaf, "fault": fault.told}) if as_json else f"{where}: {fault.told}"
        )
    root = encode_bytes(verdict.root)
    if as_json:
        click.echo(json.dumps({"leaves": verdict.leaves, "root": root, "faults": len(verdict.faults)}))
    else:
        click.echo(f"{verdict.leaves} leaves, root {root}, {len(verdict.faults) or 'no'} faults")
    if verdict.faults:
        sys.exit(REFUSED)


@main.group("config")
def config_group() -> None:
    """Look at the settings."""


@config_group.command("show")
@_data
@_config
@_as_json
def config_show(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print every setting as it is in effect: a file for --config."""
    from relay.config import effective

    for name, (value, description) in effective(_settings(config, {"data": data})).items():
        shown = str(value) if isinstance(value, Path) else value
        if as_json:
            click.echo(json.dumps({"name": name, "value": shown, "description": description}))
        else:
            set_to = f"# {name} is not set" if shown is None else f"{name} = {json.dumps(shown)}"
            click.echo(f"{set_to}  # {description}")


@config_group.command("check")
@_data
@_config
def config_check(data: Path | None, config: Path | None) -> None:
    """Say whether the settings can be used."""
    _settings(config, {"data": data})
    click.echo("the settings are in order")
