"""How a command reaches a data folder: through the running relay, or, where none runs, by itself under the folder's lock."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import REFUSED, fail, settings_of

if TYPE_CHECKING:
    from relay.adapters.data_folder import DataFolder


def run_command(
    data: Path | None, config: Path | None, command: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Ask the running relay, or, where none runs, do it here under the folder's lock."""
    from relay.adapters.data_folder import StartRefused, open_data_folder, refusals
    from relay.control.asking import CommandRefused, NoRelay, ask
    from relay.wire.errors import RelayError

    settings = settings_of(config, {"data": data})
    path = settings.data_folder

    async def here(folder: "DataFolder") -> dict[str, Any]:
        from relay.app import open_commands  # all of a relay; the running one has it loaded already
        from relay.services.roles import Authority

        async with open_commands(settings, folder) as commands:
            return await commands.run(command, arguments, by=Authority.of_machine(os.getuid()))

    try:
        with refusals(path):  # of another user, say
            try:
                return ask(path, command, arguments)
            except NoRelay:
                os.umask(0o077)
                with open_data_folder(path, create=False) as folder:
                    return asyncio.run(here(folder))
    except StartRefused as error:
        fail(str(error), error.exit_code)
    except CommandRefused as error:
        fail(str(error), REFUSED, error.code)
    except RelayError as error:
        fail(str(error), REFUSED, error.code)
