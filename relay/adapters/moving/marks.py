"""The file by which a data folder tells that its relay is moved, or was: no relay starts there on what is not the truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from relay.adapters.data_folder import DataFolder, StartRefused, refusals, write_secret

Side: TypeAlias = Literal["postgres", "sqlite"]
_WORD: Final = "tokenim-moving-v1"
_SIDES: Final[dict[str, Side]] = {"postgres": "postgres", "sqlite": "sqlite"}
_COMMANDS: Final[dict[Side, str]] = {
    "postgres": "tokenim-relay migrate sqlite-to-postgres",
    "sqlite": "tokenim-relay migrate postgres-to-sqlite",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the relay goes, the move's 16 B id, and whether everything is there and was compared."""

    target: Side
    move_id: bytes
    done: bool = False


def read_mark(folder: DataFolder) -> Mark | None:
    """That of the folder, if there is one. Raises StartRefused."""
    file = folder.moving_file
    with refusals(file):
        if not file.exists():
            return None
        words = file.read_text("utf-8", errors="replace").split()
    try:
        word, target, move_id, state = words
        if word != _WORD or state not in ("copying", "done"):
            raise ValueError
        return Mark(_SIDES[target], bytes.fromhex(move_id), state == "done")
    except (ValueError, LookupError):
        raise StartRefused(f"{file}: damaged: put it back from a backup") from None


def write_mark(folder: DataFolder, mark: Mark) -> None:
    """Durable. Raises StartRefused."""
    state = "done" if mark.done else "copying"
    with refusals(folder.moving_file):
        write_secret(folder.moving_file, f"{_WORD} {mark.target} {mark.move_id.hex()} {state}\n")


def remove_mark(folder: DataFolder) -> None:
    """The relay of this folder is where it was, or came back. Raises StartRefused."""
    with refusals(folder.moving_file):
        folder.moving_file.unlink(missing_ok=True)


def refuse_moved(folder: DataFolder, serving: Side) -> None:
    """Raise StartRefused for a relay that would serve from the side on which the truth is not, or not yet."""
    mark = read_mark(folder)
    if mark is None or (mark.target == serving == "postgres" and mark.done):
        return
    command = _COMMANDS[mark.target]
    if mark.done and mark.target == "postgres":
        raise StartRefused(
            f"{folder.path}: this relay was moved to PostgreSQL: put postgres.url into the settings; "
            f"`{_COMMANDS['sqlite']}` brings it back",
            exit_code=2,
        )
    instead = "" if mark.done else ", `tokenim-relay migrate abandon` leaves it where it was"
    raise StartRefused(f"{folder.path}: this relay is being moved: `{command}` goes on with it{instead}")


def draft_of(database: Path) -> Path:
    """Where SQLite's file is until it is whole."""
    return database.with_name(database.name + ".moving")


def moved_from(database: Path) -> Path:
    """Where SQLite's file is once the relay has left it."""
    return database.with_name(database.name + ".moved")
