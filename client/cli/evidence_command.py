"""`tokenim evidence`: the alarms that were raised, and what proves them."""

import click

from .output import Output
from .place import Place
from .run import json_option, run


@click.command()
@json_option
@click.pass_obj
def evidence(place: Place, as_json: bool) -> None:
    """Print every alarm over the relay and over device lists with the two objects that prove it, oldest first."""
    out = Output(as_json)
    run(place, out, _print(place, out))


async def _print(place: Place, out: Output) -> None:
    from .work import open_client

    async with open_client(place) as client:
        alarms = await client.evidence()
    for alarm in alarms:
        shown = alarm.as_json()
        whom = alarm.account or "the relay"
        out.shown(alarm, f"{shown['at']}  {alarm.kind}  {whom}\n  {shown['known']}\n  {shown['other']}")
