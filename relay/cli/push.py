"""`tokenim-relay push`: whether a device can be woken."""

import json
import sys
from pathlib import Path

import click

from .options import REFUSED, Commands, config_option, data_option, json_option
from .reach import run_command


@click.group(cls=Commands)
def push() -> None:
    """Push wakeups."""


@push.command("test")
@click.argument("device")
@data_option
@config_option
@json_option
def push_test(device: str, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Wake a device, or each of an account, and print what the push service answered; exit 1 unless it took it.

    DEVICE is a device's id, or the handle or id of an account.
    """
    has_failed = False
    for one in run_command(data, config, "push.test", {"device": device})["devices"]:
        has_failed |= one["outcome"] != "sent"
        if as_json:
            click.echo(json.dumps(one))
            continue
        click.echo(
            f"{one['device']}  {one['kind']}  {one['outcome']}: {one['detail']}, in {one['seconds']:.2f} s"
        )
    if has_failed:
        sys.exit(REFUSED)
