"""What the relay holds about one account, as one JSON document: for whose account it is, and for operators.

Written piece by piece: an account with a million log entries takes no more memory than one with ten.
"""

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.config import LimitSettings
from relay.ports.clock import Clock
from relay.ports.exports import Cursor, ExportStore, Row, Section
from relay.wire.errors import MalformedRequest, NotFound
from relay.wire.links import encode_bytes, encode_id

FORMAT: Final = "tokenim-account/1"
PAGE_ROWS: Final = 100
_IDS: Final = frozenset({"account_id", "device_id"})
_QUOTAS: Final = (
    *("max_ttl_seconds", "mailbox_envelopes", "mailbox_bytes", "blob_quota_bytes", "blob_ttl_seconds"),
    *("account_log_bytes", "handle_kept_seconds"),
)
END: Final = '"complete": true\n}\n'
"""How a whole document ends: what was cut off does not."""


@dataclass(frozen=True, slots=True)
class ExportPage:
    """Rows in the order of the document, each with its section; `after` asks for the next page, None: there is none."""

    rows: tuple[tuple[Section, dict[str, Any]], ...]
    after: str | None


class Document:
    """The text of the document, made of head and rows as they come."""

    def __init__(self) -> None:
        self._open: list[Section] = []
        self._left = list(Section)
        self._is_first = True

    def begin(self, head: Mapping[str, Any]) -> str:
        """What stands before the rows."""
        told = "".join(f"{json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
        return "{\n" + told

    def rows(self, rows: Iterable[tuple[Section, Mapping[str, Any]]]) -> str:
        """The next rows, in the order of the document."""
        parts = []
        for section, row in rows:
            while not self._open or self._open[-1] is not section:
                parts.append(self._next())
            parts.append(("\n" if self._is_first else ",\n") + json.dumps(row))
            self._is_first = False
        return "".join(parts)

    def end(self) -> str:
        """What is left: sections without rows, and the mark that all is there."""
        parts = []
        while self._left:
            parts.append(self._next())
        return "".join((*parts, "\n],\n" if self._open else "", END))

    def _next(self) -> str:
        closing = "\n],\n" if self._open else ""
        section = self._left.pop(0)
        self._open.append(section)
        self._is_first = True
        return f"{closing}{json.dumps(section.value)}: ["


class Exports:
    """Documents about accounts of one relay."""

    def __init__(
        self, store: ExportStore, *, clock: Clock, origin: str, limits: Callable[[], LimitSettings]
    ) -> None:
        self._store = store
        self._clock = clock
        self._origin = origin
        self._limits = limits

    def head(self) -> dict[str, Any]:
        """What the document begins with: format, relay, when, and the bounds that hold for each account."""
        told = self._limits().model_dump()
        return {
            "format": FORMAT,
            "relay": self._origin,
            "made_at_ms": self._clock.now_ms(),
            "limits": {name: told[name] for name in _QUOTAS},
        }

    async def page(self, account_id: bytes, *, after: str, limit: int = PAGE_ROWS) -> ExportPage:
        """At most `limit` rows; `after` as the last page gave it, empty: from the first. Raises NotFound, MalformedRequest."""
        section, cursor = _read_place(after) if after else (Section.ACCOUNT, None)
        sections = list(Section)
        rows: list[tuple[Section, dict[str, Any]]] = []
        for one in sections[sections.index(section) :]:
            found, cursor = await self._store.page(one, account_id, after=cursor, limit=limit - len(rows))
            rows += [(one, _told(row)) for row in found]
            if not after and one is Section.ACCOUNT and not rows:
                raise NotFound("there is no such account")
            if cursor is not None:
                return ExportPage(tuple(rows), _place(one, cursor))
            if len(rows) >= limit and one is not sections[-1]:
                return ExportPage(tuple(rows), _place(sections[sections.index(one) + 1], None))
        return ExportPage(tuple(rows), None)

    async def document(self, account_id: bytes) -> AsyncIterator[str]:
        """The text, a page at a time. Raises NotFound before the first piece."""
        document, after = Document(), ""
        page = await self.page(account_id, after=after)
        yield document.begin(self.head())
        while True:
            yield document.rows(page.rows)
            if page.after is None:
                break
            page = await self.page(account_id, after=page.after)
        yield document.end()


def _told(row: Row) -> dict[str, Any]:
    """Fit for JSON: ids as everywhere, other bytes in base64url."""
    return {
        name: (encode_id(value) if name in _IDS else encode_bytes(value))
        if isinstance(value, bytes)
        else value
        for name, value in row.items()
    }


def _place(section: Section, cursor: Cursor | None) -> str:
    keys = (
        None
        if cursor is None
        else [{"b": encode_bytes(key)} if isinstance(key, bytes) else key for key in cursor]
    )
    return base64.urlsafe_b64encode(json.dumps([section.value, keys]).encode()).decode()


def _read_place(text: str) -> tuple[Section, Cursor | None]:
    try:
        section, keys = json.loads(base64.urlsafe_b64decode(text))
        if keys is None:
            return Section(section), None
        return Section(section), tuple(_read_key(key) for key in keys)
    except (ValueError, TypeError, KeyError) as error:
        raise MalformedRequest("after: not what a page of an export gave") from error


def _read_key(key: object) -> int | str | bytes:
    if isinstance(key, dict):
        return base64.urlsafe_b64decode(key["b"] + "=" * (-len(key["b"]) % 4))
    if isinstance(key, int | str):
        return key
    raise TypeError("no key")
