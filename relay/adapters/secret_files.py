"""A file with a secret is its owner's alone, or it is not used (E10). Nothing here mends it: others may have read it."""

import stat
from pathlib import Path


class SecretExposed(Exception):
    """Others can read the file; one line that says what to do."""


def refuse_exposed(path: Path) -> None:
    """Raise SecretExposed if others than its owner may read or write the file, OSError if it cannot be looked at."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SecretExposed(
            f"{path}: others can read this secret (mode {mode:04o}): run `chmod 600 {path}`, "
            "and replace it if they may have read it"
        )
