"""Writes SHA256SUMS: the hash of every file that a generator wrote, so that none changes unnoticed.

python -m tests.vectors.pin
"""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent
SUMS = FOLDER / "SHA256SUMS"


def sums() -> str:
    """As `sha256sum *.json` writes it."""
    lines = (
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(FOLDER.glob("*.json"))
    )
    return "".join(lines)


if __name__ == "__main__":
    SUMS.write_text(sums(), encoding="utf-8")
