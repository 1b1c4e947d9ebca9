"""A case: one thing that the document demands, tried."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

RELAY_LEVELS: Final = ("core", "groups", "media", "push", "operator")
CLIENT_LEVELS: Final = ("groups", "media", "push", "history")
"""Beside core, which every client claims."""

Subject = TypeVar("Subject")
Body: TypeAlias = Callable[[Subject], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case(Generic[Subject]):
    """`case_id` is for ever; `about` says in a sentence what it tries; `proves`: ids of docs/protocol.md."""

    case_id: str
    level: str
    about: str
    proves: tuple[str, ...]
    body: Body[Subject]


class Suite(Generic[Subject]):
    """All cases, in the order in which they are written."""

    def __init__(self) -> None:
        self.cases: dict[str, Case[Subject]] = {}

    def case(
        self, case_id: str, *, level: str = "core", proves: tuple[str, ...] = ()
    ) -> Callable[[Body[Subject]], Body[Subject]]:
        """Enters the function below as a case; its docstring says what it tries."""

        def enter(body: Body[Subject]) -> Body[Subject]:
            if case_id in self.cases or level not in (*RELAY_LEVELS, *CLIENT_LEVELS) or not body.__doc__:
                raise ValueError(f"{case_id}: an id of its own, a level, and a sentence")
            self.cases[case_id] = Case(case_id, level, body.__doc__.strip(), proves, body)
            return body

        return enter
