"""All that is kept about one account, section by section and page by page, for a document. Changes nothing."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol, TypeAlias

Value: TypeAlias = int | str | bytes | bool | None
Row: TypeAlias = Mapping[str, Value]
Cursor: TypeAlias = tuple[int | str | bytes, ...]
"""Where a page ended; opaque to all but the store that gave it."""


class Section(StrEnum):
    """What there is of an account, in the order of the document."""

    ACCOUNT = "account"  # one row: role, days, usage
    HANDLES = "handles"  # the one it has
    KEPT_HANDLES = "kept_handles"  # those that it gave back and may still take again, as salted hashes
    RESERVED_HANDLES = "reserved_handles"  # that operators keep back for it
    INVITES = "invites"  # that it made, without what opens them
    GUESTS = "guests"  # one row: until when it is a guest, of how many accounts, and how many guests it has
    DEVICES = "devices"  # of the current manifest
    MANIFESTS = "manifests"  # the whole chain, as signed
    DELIVERY_TOKENS = "delivery_tokens"  # their hashes
    PREKEYS = "prekeys"  # how many of each kind
    MAILBOXES = "mailboxes"  # what waits, in figures
    PROFILES = "profiles"  # version and length
    PUSHES = "push_registrations"  # of its devices: where, and the wakeup under way; not the address, which wakes them
    BLOBS = "blobs"  # lengths and hashes of ciphertexts; not the ids, which open them
    LOGS = "logs"  # sealed logs
    LOG_ENTRIES = "log_entries"  # place, time and length of each
    TRANSPARENCY_LEAVES = "transparency_leaves"  # about the account, and about the handle that it has
    HOLDS = "holds"  # that keep it, and what they have kept
    AUDIT_ROWS = "audit_rows"  # that name it, without who else is in them


class ExportStore(Protocol):
    """A page is a snapshot; two pages are not of one moment."""

    async def page(
        self, section: Section, account_id: bytes, *, after: Cursor | None, limit: int
    ) -> tuple[tuple[Row, ...], Cursor | None]:
        """At most `limit` rows of the section, and where the next page begins (None: there is no more).

        Never a secret, nor anything of another account; no row for an account that there is not.
        """
