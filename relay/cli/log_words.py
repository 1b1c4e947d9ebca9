"""How the relay's two logs are told on the terminal: a signed head, and what does not fit."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from .options import REFUSED


def tell_head(head: Mapping[str, Any], *, as_json: bool) -> None:
    """A head, as one object or a line a field."""
    if as_json:
        click.echo(json.dumps(head))
        return
    for name, value in head.items():
        click.echo(f"{name:<8} {value}")


def tell_verdict(
    place: str, faults: Iterable[tuple[int | None, str]], size: int, root: bytes, *, as_json: bool
) -> None:
    """A line for each fault, at its row or leaf (`place`) or of the log as a whole (None), and one over all `size` of them.

    Ends with REFUSED if there is a fault.
    """
    from relay.wire.links import encode_bytes

    count = 0
    for count, (number, told) in enumerate(faults, 1):  # noqa: B007  (the last one counts)
        where = "log" if number is None else f"{place} {number}"
        click.echo(json.dumps({place: number, "fault": told}) if as_json else f"{where}: {told}")
    places = {"row": "rows", "leaf": "leaves"}[place]
    shown = encode_bytes(root)
    if as_json:
        click.echo(json.dumps({places: size, "root": shown, "faults": count}))
    else:
        click.echo(f"{size} {places}, root {shown}, {count or 'no'} faults")
    if count:
        sys.exit(REFUSED)
