"""The list of the client half, and a run of it."""

from collections.abc import Callable, Sequence
from typing import Final

from client.conformance.case import CLIENT_LEVELS, Body, Case, Suite
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
    *,
    patience_seconds: float,
) -> list[Result]:
    """The results; each case has a relay and clients of its own, so that `jobs` run at once. `levels` are claimed beside core.

    A case fails once something that has to come has not come for so long.
    """
    chosen = [CLIENT_SUITE.cases[name] for name in only] if only else list(CLIENT_SUITE.cases.values())
    cases: list[Case[Sequence[str]]] = [
        Case(one.case_id, one.level, one.about, one.proves, _in_setting(one.body, patience_seconds))
        for one in chosen
    ]
    unclaimed = {level: f"it needs --level {level}" for level in CLIENT_LEVELS if level not in levels}
    results = []
    async for result in run(cases, command, unclaimed, jobs):
        tell(result)
        results.append(result)
    return results


def _in_setting(body: Body[Setting], patience_seconds: float) -> Body[Sequence[str]]:
    async def alone(command: Sequence[str]) -> None:
        async with open_setting(command, patience_seconds) as setting:
            await setting.unless_broken(body(setting))

    return alone
