"""`tokenim evidence`: the alarms that were raised, and what proves them."""

import click

from .output import Output
from .place import Place
from .run import json_option, run

_QUESTION = "Has the relay's operator told you what happened, and do you trust the relay from now on?"


@click.command()
@click.option("--trust-again", is_flag=True, help="Take the relay's log as it is from now on.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@json_option
@click.pass_obj
def evidence(place: Place, trust_again: bool, yes: bool, as_json: bool) -> None:
    """Print every alarm over the relay and over device lists with the two objects that prove it, oldest first."""
    out = Output(as_json)
    run(place, out, _print(place, out, trust_again=trust_again, is_sure=yes))


async def _print(place: Place, out: Output, *, trust_again: bool, is_sure: bool) -> None:
    from .questions import says_yes
    from .work import open_client

    async with open_client(place) as client:
        alarms = await client.evidence()
        if trust_again and (is_sure or await says_yes(_QUESTION)):
            await client.trust_log_again()
    for alarm in alarms:
        shown = alarm.as_json()
        whom = alarm.account or "the relay"
        out.shown(alarm, f"{shown['at']}  {alarm.kind}  {whom}\n  {shown['known']}\n  {shown['other']}")
