"""The tables of the two commands, their options and exit statuses, for docs/generate.py."""

from collections.abc import Iterator

import click

from client.cli.commands import tokenim
from client.errors import ClientError, Refused
from docs.markdown import one_line, table
from relay.cli import main as tokenim_relay


def commands_table() -> str:
    """Every command with its arguments and options."""
    told = []
    for name, group in (("tokenim", tokenim), ("tokenim-relay", tokenim_relay)):
        rows = [[f"`{usage}`", meaning] for usage, meaning in _usages(name, group)]
        told.append(f"**{name}**\n\n{table(['call', ''], rows)}")
    return "\n".join(told)


def _usages(name: str, command: click.Command) -> Iterator[tuple[str, str]]:
    if isinstance(command, click.Group):
        common = _options(command)
        if common:
            yield f"{name} {common} …", "for every command"
        for child_name, child in sorted(command.commands.items()):
            yield from _usages(f"{name} {child_name}", child)
        return
    arguments = [_argument(one) for one in command.params if isinstance(one, click.Argument)]
    usage = " ".join([name, *arguments, _options(command)]).strip()
    yield usage.replace("|", "\\|"), (command.help or "").partition("\n\n")[0].replace("\n", " ")


def _argument(argument: click.Argument) -> str:
    word = (
        argument.make_metavar(click.Context(click.Command("x")))
        if argument.metavar
        else (argument.name or "").upper()
    )
    return word if argument.required or word.startswith("[") else f"[{word}]"


def _options(command: click.Command) -> str:
    shown = []
    for option in command.params:
        if not isinstance(option, click.Option) or option.hidden or option.name in ("help", "version"):
            continue
        long = max(option.opts, key=len)
        value = "" if option.is_flag else f" {option.make_metavar(click.Context(command))}"
        text = f"{long}{value}"
        shown.append(text if option.required else f"[{text}]")
    return " ".join(shown)


def exits_table() -> str:
    """Every failure of `tokenim`: its code and exit status."""
    rows: list[list[str]] = []
    waiting: list[type[ClientError]] = [ClientError]
    while waiting:
        kind = waiting.pop(0)
        waiting += kind.__subclasses__()
        if kind.__subclasses__():
            continue
        code = "the relay's own, see [Errors](protocol.md#errors)" if kind is Refused else f"`{kind.code}`"
        rows.append([code, str(kind.exit_status), one_line(kind)])
    return table(["code", "exit status", ""], rows)
