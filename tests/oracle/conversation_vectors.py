"""The conversations of the vectors, played by the oracle; each function reads the whole of its file."""

from typing import Any

from tests.oracle.group_stage import OracleGroupStage
from tests.oracle.pair_stage import OracleStage
from tests.oracle.vector_files import Part


def plain(part: Any) -> Any:
    """A part of a file as plain lists and dictionaries: all of it is read."""
    if not isinstance(part, Part):
        return part
    if isinstance(part.value, dict):
        return {name: plain(part[name]) for name in part}
    return [plain(each) for each in part]


def replay(file: Part, stage: Any) -> None:
    """Each step gives what the file says, and is refused where the file says so; nothing changes then."""
    for part in file["steps"]:
        step = plain(part)
        expected = step.pop("result")
        assert stage.play(step) == expected, (step["does"], part.path)


def check_pair(file: Part) -> None:
    replay(file, OracleStage())


def check_group(file: Part) -> None:
    replay(file, OracleGroupStage())


CHECKS = {
    "conversation_two_people.json": check_pair,
    "conversation_post_quantum.json": check_pair,
    "conversation_link.json": check_pair,
    "conversation_group.json": check_group,
    "conversation_broadcast.json": check_group,
}
