"""Times as they are shown."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999  # of the year 9999


def iso_time(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds. A sender may claim any time: after the year 9999 it is the end of that."""
    shown = _EPOCH + timedelta(milliseconds=min(ms, _LAST_MS))
    return shown.isoformat(timespec="milliseconds").replace("+00:00", "Z")
