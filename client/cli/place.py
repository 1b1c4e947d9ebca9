"""Where a call of the command finds its account."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Which account folder this call is about, and how its store opens."""

    home: Path
    passphrase: str | None = field(repr=False)
    traceback: bool
