"""Every help of both commands says what it says to the end, also in a narrow terminal."""

import errno
import json
import socket
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


WRONG = [
    (tokenim, "tokenim: usage: ", ["whoami", "--no-such-option"]),
    (tokenim, "tokenim: usage: ", ["account", "no-such-command"]),
    (tokenim, "tokenim: usage: ", ["--no-such-option"]),
    (main, "tokenim-relay: ", ["no-such-command"]),
    (main, "tokenim-relay: ", ["account", "suspend"]),
    (main, "tokenim-relay: ", ["audit", "show", "--limit", "many"]),
    (main, "tokenim-relay: ", ["--no-such-option"]),
]


@pytest.mark.parametrize(("command", "begins", "arguments"), WRONG)
def test_wrong_usage_is_one_line_and_an_object_with_json(command, begins, arguments):
    told = CliRunner().invoke(command, arguments)
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert told.stderr.startswith(begins)
    assert " --help`)" in told.stderr
    told = CliRunner().invoke(command, [*arguments, "--json"])
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    said = json.loads(told.stderr)
    assert (said["type"], said["code"]) == ("error", "usage")


def test_a_refusal_of_the_relay_has_its_code_and_a_folder_that_is_not_there_the_code_of_usage(tmp_path):
    asked = ["account", "suspend", "nobody", "--data"]
    told = CliRunner().invoke(main, [*asked, str(tmp_path / "not"), "--json"])
    assert (told.exit_code, json.loads(told.stderr)["code"]) == (2, "usage")
    told = CliRunner().invoke(main, [*asked, str(tmp_path), "--json"])
    assert (told.exit_code, json.loads(told.stderr)["code"]) == (1, "not_found")
    told = CliRunner().invoke(main, [*asked, str(tmp_path)])
    assert (told.exit_code, told.stderr.startswith("tokenim-relay: not_found: ")) == (1, True)


def test_a_folder_of_another_user_is_told_in_one_line(tmp_path, monkeypatch):
    def connect(_socket, _path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", connect)
    told = CliRunner().invoke(main, ["account", "list", "--data", str(tmp_path)])
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert told.stderr.startswith(f"tokenim-relay: {tmp_path}: Permission denied; ")
    assert "as the user it belongs to" in told.stderr
