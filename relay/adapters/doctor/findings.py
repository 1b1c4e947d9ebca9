"""What a check finds."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: the check's name, how it went, what was found, and what to do about it (None where all is well)."""

    check: str
    state: State
    found: str
    mend: str | None = None


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, mend: str) -> Finding:
    """It works, and will not for ever."""
    return Finding(check, "warning", found, mend)


def failed(check: str, found: str, mend: str) -> Finding:
    """A relay does not work so."""
    return Finding(check, "failed", found, mend)
