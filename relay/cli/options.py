"""What the commands share: options, exit codes, and the settings that they run with."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

if TYPE_CHECKING:
    from relay.config import Loaded, Settings

_WHOLE: Final = 1_000
_AS_JSON: Final = "tokenim.as_json"
REFUSED: Final = 1
USAGE: Final = 2
_CODES: Final = {REFUSED: "refused", USAGE: "usage"}


@contextmanager
def _failures_in_one_line(*, as_json: bool) -> Iterator[None]:
    """What click finds wrong with a call, Ctrl-C and a no are told as every other failure is; click itself takes four lines."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        click.echo(err=True)  # ends the line of a question, or of ^C
        _end("stopped before it was done", REFUSED, "interrupted", as_json=as_json)
    except click.exceptions.NoArgsIsHelpError:
        raise  # the help of the group
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "tokenim-relay"
        _end(f"{error.format_message().rstrip('.')} (see `{path} --help`)", USAGE, as_json=as_json)


class Commands(click.Group):
    """A group that tells wrong usage in one line, and in whose help the first sentence of each command is as it is.

    click would cut it at the width of the terminal.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Remembers whether `--json` was asked: what is wrong with the call may keep click from telling it."""
        as_json = "--json" in args
        with _failures_in_one_line(as_json=as_json):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[_AS_JSON] = as_json
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named."""
        with _failures_in_one_line(as_json=ctx.meta[_AS_JSON]):
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_WHOLE)) for name, one in found if one])


class AllCommands(Commands):
    """The group of all commands, which tells in one line also what nobody foresaw."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. The relay itself ends with a traceback: nobody could run it again to see one."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params["traceback"] or ctx.invoked_subcommand == "serve":
                raise
            as_json = ctx.meta[_AS_JSON]
            if isinstance(error, OSError):
                where = f": {error.filename}" if error.filename else ""
                _end(f"{error.strerror or error}{where}", REFUSED, "system", as_json=as_json)
            where = "this is a defect of tokenim-relay, `tokenim-relay --traceback …` shows where"
            _end(f"{type(error).__name__}: {error}; {where}", REFUSED, "internal", as_json=as_json)


def fail(line: str, exit_code: int, code: str | None = None) -> NoReturn:
    """End with this line on stderr, an object with `--json`; `code`: the stable one of a refusal that has its own."""
    context = click.get_current_context(silent=True)
    _end(line, exit_code, code, as_json=context is not None and context.meta.get(_AS_JSON, False))


def _end(line: str, exit_code: int, code: str | None = None, *, as_json: bool) -> NoReturn:
    if as_json:
        told = json.dumps({"type": "error", "code": code or _CODES[exit_code], "detail": line})
    else:
        told = f"tokenim-relay: {line}" if code is None else f"tokenim-relay: {code}: {line}"
    click.echo(told, err=True)
    sys.exit(exit_code)


def loaded(config: Path | None, command_line: Mapping[str, Any]) -> "Loaded":
    """The effective settings and their sources; raises ConfigInvalid. Without --config, of the file in the data folder."""
    from relay.config import find_file, load, process_environment

    environment = process_environment()
    file = config or find_file(environment, command_line.get("data"))
    return load(file=file, environment=environment, command_line=command_line, found=file is not config)


def loaded_or_fail(config: Path | None, command_line: Mapping[str, Any]) -> "Loaded":
    """The same; ends with USAGE and one line if they cannot be used."""
    from relay.config import ConfigInvalid

    try:
        return loaded(config, command_line)
    except ConfigInvalid as error:
        fail(str(error), USAGE)


def settings_of(config: Path | None, command_line: Mapping[str, Any]) -> "Settings":
    """The settings alone."""
    return loaded_or_fail(config, command_line).settings


data_option = click.option("--data", type=click.Path(path_type=Path), help="The data folder.")
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="A TOML file with settings, in place of config.toml in the data folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
