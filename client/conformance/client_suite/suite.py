"""The list of the client half, and a run of it."""

from collections.abc import Callable, Sequence
from typing import Final

from client.conformance.case import Body, Case, Suite
from client.conformance.report import Result
from client.conformance.runner import run

from .setting import Setting, open_setting

CLIENT_SUITE: Final[Suite[Setting]] = Suite()


async def run_client(
    command: Sequence[str],
    tell: Callable[[Result], None],
    only: Sequence[str] = (),
    levels: Sequence[str] = (),
    jobs: int = 1,
) -> list[Result]:
    """The results; each case has a relay and clients of its own, so that `jobs` run at once. `levels` are claimed beside core."""
    chosen = [CLIENT_SUITE.cases[name] for name in only] if only else list(CLIENT_SUITE.cases.values())
    cases: list[Case[Sequence[str]]] = [
        Case(one.case_id, one.level, one.about, one.proves, _in_setting(one.body)) for one in chosen
    ]
    results = []
    async for result in run(cases, command, frozenset({"core", *levels}), jobs):
        tell(result)
        results.append(result)
    return results


def _in_setting(body: Body[Setting]) -> Body[Sequence[str]]:
    async def alone(command: Sequence[str]) -> None:
        async with open_setting(command) as setting:
            await setting.unless_broken(body(setting))

    return alone
