"""JSON log lines from an allow-list of fields: no token, key, envelope, IP address or message text ever gets out.

Success is quiet; `error` means a bug, or damage. An exception is told by its class and the places it passed, never by its words:
they can quote what a client sent. Records of other libraries are reduced in the same way.
"""

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

LOGGABLE: Final = frozenset(
    {
        "bytes",
        "changed",
        "close_code",
        "code",
        "count",
        "elapsed_ms",
        "error",
        "frames",
        "left",
        "method",
        "passed",
        "reason",
        "request_id",
        "route",
        "row",
        "schema",
        "source",
        "status",
        "url",
        "version",
    }
)
LEVELS: Final = ("debug", "info", "warning", "error")
_OWN: Final = "relay."
_ROOT: Final = Path(__file__).resolve().parent.parent.parent


def passed_places(error: BaseException, *, most: int = 12) -> list[str]:
    """The innermost `most` places an exception passed, as `file:line function`; nothing of its words."""
    places: list[str] = []
    for frame in traceback.extract_tb(error.__traceback__)[-most:]:
        path = Path(frame.filename)
        shown = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else Path(path.parent.name, path.name)
        places.append(f"{shown}:{frame.lineno} {frame.name}")
    return places


class EventLog:
    """Writes one JSON object a line to `stream`; `now_ms` gives the time."""

    def __init__(self, stream: TextIO, now_ms: Callable[[], int], *, level: str = "info") -> None:
        self._stream = stream
        self._now_ms = now_ms
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """From now on, `level` is the least that is written."""
        self._least = LEVELS.index(level)

    def _write(self, level: str, name: str, fields: dict[str, object]) -> None:
        if unknown := fields.keys() - LOGGABLE:
            raise ValueError(f"not loggable: {sorted(unknown)}")
        if LEVELS.index(level) >= self._least:
            line = {"time_ms": self._now_ms(), "level": level, "event": name, **fields}
            self._stream.write(json.dumps(line, separators=(",", ":")) + "\n")
            self._stream.flush()

    def debug(self, name: str, **fields: object) -> None:
        """Something for whoever looks closely; off unless asked for."""
        self._write("debug", name, fields)

    def info(self, name: str, **fields: object) -> None:
        """Something an operator wants to see once."""
        self._write("info", name, fields)

    def warning(self, name: str, **fields: object) -> None:
        """Something that goes on working, but needs a look."""
        self._write("warning", name, fields)

    def error(self, name: str, **fields: object) -> None:
        """Something that an operator must look at, and that no exception tells."""
        self._write("error", name, fields)

    def failure(self, name: str, error: BaseException, **fields: object) -> None:
        """A bug, or a failure of the machine: the exception's class, and where it came from."""
        self._write("error", name, {"error": type(error).__name__, "passed": passed_places(error), **fields})


class _Reducer(logging.Handler):
    """Takes the records of other libraries; keeps the logger's name, its place and the exception's class.

    Of the relay's own adapters, which have no other way to the log, it keeps the event, too: a word that stands in the code.
    """

    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        source = f"{record.name}:{Path(record.pathname).name}:{record.lineno}"
        error = record.exc_info[1] if record.exc_info else None
        is_own = record.name.startswith(_OWN) and isinstance(record.msg, str) and record.msg.isidentifier()
        name = record.msg if is_own else "library"
        if error is not None:
            self._log.failure(name, error, source=source)
        elif is_own and record.levelno >= logging.ERROR:
            self._log.error(name, source=source)
        elif record.levelno >= logging.WARNING:
            self._log.warning(name, source=source)
        else:
            self._log.info(name, source=source)


def take_library_records(log: EventLog) -> Callable[[], None]:
    """Send what libraries log (aiohttp names peers' addresses) through `log`, reduced; the result undoes it."""
    root, own = logging.getLogger(), logging.getLogger(_OWN.rstrip("."))
    handler = _Reducer(log)
    before, level = root.handlers[:], own.level
    root.handlers[:] = [handler]
    own.setLevel(logging.INFO)

    def undo() -> None:
        root.handlers[:] = before
        own.setLevel(level)

    return undo
