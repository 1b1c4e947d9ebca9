"""What the commands share: options, exit codes, and the settings that they run with."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

if TYPE_CHECKING:
    from relay.config import Settings

REFUSED: Final = 1
USAGE: Final = 2


def fail(line: str, exit_code: int) -> NoReturn:
    """End with this line on stderr."""
    click.echo(f"tokenim-relay: {line}", err=True)
    sys.exit(exit_code)


def settings_of(config: Path | None, command_line: Mapping[str, Any]) -> "Settings":
    """The effective settings; ends with USAGE and one line if they cannot be used."""
    from relay.config import ConfigInvalid, load_settings, process_environment

    try:
        return load_settings(file=config, environment=process_environment(), command_line=command_line)
    except ConfigInvalid as error:
        fail(str(error), USAGE)


data_option = click.option("--data", type=click.Path(path_type=Path), help="The data folder.")
config_option = click.option("--config", type=click.Path(path_type=Path), help="A TOML file with settings.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
