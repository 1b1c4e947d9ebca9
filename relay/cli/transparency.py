"""`tokenim-relay transparency …`: the log's signed head, and whether it fits what the relay keeps."""

import json
import sys
from pathlib import Path

import click

from .options import REFUSED, USAGE, config_option, data_option, fail, json_option, settings_of
from .reach import run_command


@click.group()
def transparency() -> None:
    """The transparency log: its signed head, and whether it fits what the relay keeps."""


@transparency.command("head")
@data_option
@config_option
@json_option
def transparency_head(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print the newest signed head: kept elsewhere, it shows later whether the log only grew."""
    head = run_command(data, config, "transparency.head", {})
    if as_json:
        click.echo(json.dumps(head))
    else:
        for name, value in head.items():
            click.echo(f"{name:<8} {value}")


@transparency.command("verify")
@data_option
@config_option
@click.option(
    "--head", "heads", multiple=True, help="A head printed earlier: the log must begin with its leaves."
)
@json_option
def transparency_verify(
    data: Path | None, config: Path | None, heads: tuple[str, ...], as_json: bool
) -> None:
    """Compute the log anew and compare it with accounts, manifests and handles; a relay may run meanwhile."""
    from relay.adapters.data_folder import StartRefused
    from relay.log_files import verify_log
    from relay.wire.errors import MalformedRequest
    from relay.wire.links import decode_bytes, encode_bytes

    try:
        verdict = verify_log(settings_of(config, {"data": data}), [decode_bytes(head) for head in heads])
    except StartRefused as error:
        fail(str(error), error.exit_code)
    except (MalformedRequest, ValueError) as error:
        fail(f"--head: {error}", USAGE)
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
