"""What a run found: a line for a case, and at the end how many passed, failed, or were not claimed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

Outcome: TypeAlias = Literal["passed", "failed", "not claimed"]
_WIDTH: Final = 44
_NAMED: Final = 8
"""So many cases of one reason are named; the file of `--json` has all."""


class Failed(Exception):
    """What is tested does not do what the document says: what was sent, what was expected, what came."""


class NotClaimed(Exception):
    """What is tested says of itself that it does not do this: there is nothing to try."""


class NotReady(Exception):
    """What is tested is not set up for a run: no case could go on, and the words say what its operator has to change."""


def told_rated(asked: str) -> str:
    """What the operator of a relay raises when it let this run in no further."""
    settings = ", ".join(f"rates.{name}.burst" for name in ("registration", "link", "recovery", "address"))
    return f"{asked}: rate_limited: raise {settings} of the relay while it is tested (docs/clients.md says to what)"


@dataclass(frozen=True, slots=True)
class Result:
    """Of one case: `proves` are ids of docs/protocol.md, `why` says what went wrong, or what would be needed to try it."""

    case: str
    level: str
    proves: tuple[str, ...]
    outcome: Outcome
    seconds: float
    why: str = ""

    def line(self) -> str:
        """For a person."""
        told = f"{self.outcome:<11}  {self.case:<{_WIDTH}} {self.seconds:6.2f} s"
        return f"{told}\n             {self.why}" if self.why else told


def unclaimed_lines(results: Sequence[Result]) -> list[str]:
    """What was not claimed, by the reason."""
    by_reason: dict[str, list[str]] = {}
    for result in results:
        if result.outcome == "not claimed":
            by_reason.setdefault(result.why, []).append(result.case)
    return [
        f"not claimed  {f'{len(cases)} cases' if len(cases) > _NAMED else ', '.join(cases)}\n             {why}"
        for why, cases in by_reason.items()
    ]


def closing_line(results: Sequence[Result]) -> str:
    """The last line of a report."""
    counts = dict.fromkeys(("passed", "failed", "not claimed"), 0)
    for result in results:
        counts[result.outcome] += 1
    return f"{counts['passed']} passed, {counts['failed']} failed, {counts['not claimed']} not claimed"


def write_json(results: Sequence[Result], of: str, file: Path) -> None:
    """The same for programs: `of` is what was tested."""
    cases = [
        {
            "id": result.case,
            "level": result.level,
            "proves": list(result.proves),
            "outcome": result.outcome,
            "seconds": round(result.seconds, 3),
            "why": result.why,
        }
        for result in results
    ]
    file.write_text(json.dumps({"of": of, "cases": cases}, indent=1) + "\n", encoding="utf-8")
