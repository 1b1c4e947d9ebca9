"""Every help of both commands says what it says to the end, also in a narrow terminal."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from client.cli.commands import tokenim
from relay.cli.commands import main


def groups(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path of each group of commands under this one, and its own."""
    if isinstance(command, click.Group):
        yield path
        for name, inner in command.commands.items():
            yield from groups(inner, (*path, name))


ALL = [(tokenim, path) for path in groups(tokenim, ())] + [(main, path) for path in groups(main, ())]


@pytest.mark.parametrize(
    ("command", "path"), ALL, ids=lambda one: "-".join(one) if isinstance(one, tuple) else one.name
)
def test_no_line_of_a_list_of_commands_is_cut(command, path):
    done = CliRunner().invoke(command, [*path, "--help"], terminal_width=80)
    assert done.exit_code == 0
    listed = done.output.partition("Commands:")[2]
    assert listed.strip()
    assert "..." not in listed


def test_there_are_groups_in_both_commands():
    assert len([path for command, path in ALL if command is tokenim]) > 5
    assert len([path for command, path in ALL if command is main]) > 3


def test_every_command_of_operators_takes_data_and_json():
    """What scripts rely on; `audit verify --exported` needs no folder, and takes the option all the same."""
    groups: list[tuple[str, click.Group]] = [("tokenim-relay", main)]
    lacking = []
    seen = 0
    while groups:
        path, group = groups.pop()
        for name, each in group.commands.items():
            if isinstance(each, click.Group):
                groups.append((f"{path} {name}", each))
                continue
            seen += 1
            options = {word for parameter in each.params for word in parameter.opts}
            lacking += [f"{path} {name} {word}" for word in ("--data", "--json") if word not in options]
    assert seen > 30
    assert lacking == []
