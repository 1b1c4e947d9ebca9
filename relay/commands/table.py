"""How a command is declared: its name, its arguments, the right that it takes, and what the audit log calls it.

A command is recorded under its own name, done or refused, unless it says that it changes nothing: there is no third way.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from relay.services.audit import Act, Action, Audit
from relay.services.roles import Authority, Operation
from relay.wire.errors import MalformedRequest, NotFound, RelayError

Answer: TypeAlias = dict[str, Any]
S = TypeVar("S")
A = TypeVar("A", bound="Arguments")


class Arguments(BaseModel):
    """What a command is told; this one: nothing."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Command(Generic[S]):
    """One command over services of type S: the right that it takes; `action` is None for one that changes nothing."""

    name: str
    arguments: type[Arguments]
    operation: Operation
    action: Action | None
    run: Callable[[S, Any, Act | None], Awaitable[Answer]]


class CommandTable(Generic[S]):
    """Commands by their names."""

    def __init__(self) -> None:
        self._commands: Final[dict[str, Command[S]]] = {}

    def changes(
        self, name: str, arguments: type[A], operation: Operation
    ) -> Callable[[Callable[[S, A, Act], Awaitable[Answer]]], Callable[[S, A, Act], Awaitable[Answer]]]:
        """Declare a command. It gives `act.done()` to the store that commits it, or else is recorded once it is done.

        Raises ValueError if the audit log has no action of this name.
        """

        def declare(
            run: Callable[[S, A, Act], Awaitable[Answer]],
        ) -> Callable[[S, A, Act], Awaitable[Answer]]:
            async def with_act(services: S, given: Any, act: Act | None) -> Answer:
                if act is None:
                    raise TypeError(f"{name} is recorded")
                return await run(services, given, act)

            self._add(Command(name, arguments, operation, Action(name), with_act))
            return run

        return declare

    def changes_nothing(
        self, name: str, arguments: type[A], operation: Operation
    ) -> Callable[[Callable[[S, A], Awaitable[Answer]]], Callable[[S, A], Awaitable[Answer]]]:
        """Declare a command that only tells something: it is not recorded."""

        def declare(run: Callable[[S, A], Awaitable[Answer]]) -> Callable[[S, A], Awaitable[Answer]]:
            async def without_act(services: S, given: Any, _act: Act | None) -> Answer:
                return await run(services, given)

            self._add(Command(name, arguments, operation, None, without_act))
            return run

        return declare

    def _add(self, command: Command[S]) -> None:
        if command.name in self._commands:
            raise ValueError(f"there are two commands {command.name}")
        self._commands[command.name] = command

    @property
    def commands(self) -> tuple[Command[S], ...]:
        """All there are, in the order in which they were declared."""
        return tuple(self._commands.values())

    async def run(
        self, services: S, audit: Audit, name: str, arguments: Mapping[str, Any], *, by: Authority
    ) -> Answer:
        """Run it and record it; raises RelayError, NotAllowed for who lacks the right."""
        command = self._commands.get(name)
        if command is None:
            raise NotFound("this relay does not know the command: it may be of another version")
        if command.action is None:
            by.require(command.operation)
            return await command.run(services, _parse(command, arguments), None)
        act = audit.act(command.action, by)
        try:
            by.require(command.operation)
            answer = await command.run(services, _parse(command, arguments), act)
        except Exception as error:  # recorded and passed on: a bug is no way to do something unseen
            await act.refused(error.code if isinstance(error, RelayError) else RelayError.code)
            raise
        await act.finish()
        return answer


def _parse(command: Command[Any], arguments: Mapping[str, Any]) -> Arguments:
    try:
        return command.arguments.model_validate(arguments)
    except ValidationError as error:
        raise MalformedRequest(f"{command.name}: {error.errors(include_input=False)[0]['msg']}") from error
