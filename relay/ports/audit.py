"""The audit log as the store keeps it: rows that are only ever appended, each in the commit of what it records.

What may be taken away leaves the tree as it is: an id with its salt, and the details of old rows. Whether all fits is not
the store's business (services/audit_check.py), nor is what is recorded (services/audit.py).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from relay.wire.audit_rows import AuditRow, Details, KeptParty, Party, Tip

_WORD: Final = re.compile(r"[a-z0-9._-]{0,64}")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What a row is going to say. A store appends it in the commit of what it records, or not at all.

    `outcome`: empty for done, else a code; `detail`: a role's name or a number. `sign` makes the relay's signature, 64 B,
    over a transcript: it is called within the commit, once each attempt.
    """

    at_ms: int
    action: str
    actor: Party
    subject: Party
    sign: Callable[[bytes], bytes] = field(repr=False, compare=False)
    salts: tuple[bytes, bytes] = field(repr=False)
    outcome: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no word: whatever a person wrote never gets in."""
        for word in (self.action, self.outcome, self.detail):
            if not _WORD.fullmatch(word):
                raise ValueError("a row of the audit log holds words of fixed vocabularies alone")

    def telling(self, detail: object) -> "AuditEntry":
        """The same with a detail that is known only within the commit."""
        return replace(self, detail=str(detail))

    def append(self, tip: Tip) -> tuple[AuditRow, Tip]:
        """The row that it becomes, and where the log stands then."""
        actor_salt, subject_salt = self.salts
        details = Details(
            self.action,
            KeptParty(self.actor.kind, self.actor.id, actor_salt),
            KeptParty(self.subject.kind, self.subject.id, subject_salt),
            self.outcome,
            self.detail,
        )
        return tip.append(self.at_ms, details, self.sign)


class AuditStore(Protocol):
    """Methods are durable when they return. Other stores append, too: to their own commits, what they are given."""

    async def tip(self) -> Tip:
        """Where the log stands."""

    async def append(self, entry: AuditEntry) -> None:
        """A row in a commit of its own; on a full disk as well."""

    async def rows(self, first: int, limit: int) -> tuple[AuditRow, ...]:
        """At most `limit` rows from this one on, in order."""

    async def newest(self, *, since_ms: int, before: int | None, limit: int) -> tuple[AuditRow, ...]:
        """At most `limit` rows whose details are there, the one of the highest index first; `before`: of lower indices than that.

        From this time on; of rows that are dated by the day (UTC), those of its day as well.
        """

    async def erase(self, account_id: bytes, entry: AuditEntry, *, limit: int) -> int:
        """Erase at most `limit` mentions of the id, as actor and subject; how many. `entry` is appended, telling how many.

        With nothing to erase nothing is appended. Call it until it says 0.
        """

    async def drop_details(self, *, before_ms: int, entry: AuditEntry, limit: int) -> int:
        """Drop the details of at most `limit` of the oldest rows that have some, up to the first that is not before this time.

        How many; if any, `entry` is appended, telling the index of the first row that keeps them.
        """


class HeadsNotKept(Exception):
    """The file of heads cannot be read or written; the words are one line for the operator."""


class HeadsFile(Protocol):
    """The second place where heads are kept: lines, to which one is added at a time. Both raise HeadsNotKept."""

    async def lines(self) -> list[str]:
        """All there are; none where there is no file yet."""

    async def add(self, line: str) -> None:
        """One more, durable when it returns."""
