"""What the commands share: options, exit codes, and the settings that they run with."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

if TYPE_CHECKING:
    from relay.config import Loaded, Settings

_WHOLE: Final = 1_000
REFUSED: Final = 1
USAGE: Final = 2


class Commands(click.Group):
    """A group whose help has the first sentence of each command as it is; click cuts it at the width of the terminal."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_WHOLE)) for name, one in found if one])


def fail(line: str, exit_code: int) -> NoReturn:
    """End with this line on stderr."""
    click.echo(f"tokenim-relay: {line}", err=True)
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
