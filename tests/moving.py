"""What tests of moves between SQLite and PostgreSQL share."""

from pathlib import Path

from relay.adapters.data_folder import DataFolder, StartRefused
from relay.adapters.system_clock import SystemClock
from relay.config import Settings, load_settings
from relay.states import open_postgres_state, open_sqlite_state


def told(_what: str, _done: int) -> None:
    """Nobody looks."""


def settings_with(folder: Path, url: str) -> Settings:
    """Those of a node, and of the move."""
    password = folder.parent / "password"
    password.touch(0o600)
    password.write_text("tokenim\n")
    return load_settings(
        file=None,
        environment={},
        command_line={
            "data": folder,
            "origin": "https://chat.example",
            "postgres": {"url": url.replace(":tokenim@", "@"), "password_file": password},
        },
    )


async def refused_on(folder: DataFolder, settings: Settings) -> tuple[bool, bool]:
    """Whether a relay of this folder is refused on SQLite, and on PostgreSQL."""
    found = []
    for opening in (open_sqlite_state, open_postgres_state):
        try:
            async with opening(folder, settings, SystemClock()):
                found.append(False)
        except StartRefused:
            found.append(True)
    return found[0], found[1]
