"""A file that is whole under its name, or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def new_file(to: Path) -> Iterator[TextIO]:
    """Text for a new file of mode 0600. Raises FileExistsError, OSError.

    It is written under another name, which is removed if it comes to nothing.
    """
    if to.exists():
        raise FileExistsError(to)
    partial = to.with_name(to.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.link(partial, to)  # never over a file that came meanwhile
    finally:
        partial.unlink(missing_ok=True)
