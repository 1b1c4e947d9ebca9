"""`tokenim-relay transparency …`: the log's signed head, and whether it fits what the relay keeps."""

from pathlib import Path

import click

from .log_words import tell_head, tell_verdict
from .options import USAGE, Commands, config_option, data_option, fail, json_option, settings_of
from .reach import run_command


@click.group(cls=Commands)
def transparency() -> None:
    """The transparency log: its signed head, and whether it fits what the relay keeps."""


@transparency.command("head")
@data_option
@config_option
@json_option
def transparency_head(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Print the newest signed head: kept elsewhere, it shows later whether the log only grew."""
    tell_head(run_command(data, config, "transparency.head", {}), as_json=as_json)


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
    from relay.wire.links import decode_bytes

    try:
        verdict = verify_log(settings_of(config, {"data": data}), [decode_bytes(head) for head in heads])
    except StartRefused as error:
        fail(str(error), error.exit_code)
    except (MalformedRequest, ValueError) as error:
        fail(f"--head: {error}", USAGE)
    faults = ((fault.leaf, fault.told) for fault in verdict.faults)
    tell_verdict("leaf", faults, verdict.leaves, verdict.root, as_json=as_json)
