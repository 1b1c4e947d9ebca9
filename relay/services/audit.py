"""The audit log: who did what, when, and what came of it. Never what somebody wrote, an address, a handle, or who talks to whom.

Says what is recorded and signs it; each row comes in the commit of what it records. What is sent and delivered is none.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from relay.ports.audit import AuditEntry, AuditStore
from relay.ports.clock import Clock, Randomness
from relay.services.roles import Authority
from relay.session.proof import RelayKey, verify_signature
from relay.wire import limits
from relay.wire.audit_rows import (
    NOBODY,
    RELAY,
    SALT_BYTES,
    AuditHead,
    AuditRow,
    Party,
    audit_head_transcript,
    day_of,
    parse_audit_head,
)
from relay.wire.errors import MalformedRequest, RelayError

STEP_ROWS: Final = 500  # changed in one commit


class Action(StrEnum):
    """What can be recorded. A command of the control socket that changes something bears its own name."""

    ACCOUNT_REGISTER = "account.register"
    ACCOUNT_SUSPEND = "account.suspend"
    ACCOUNT_RESUME = "account.resume"
    ACCOUNT_DELETE = "account.delete"
    ACCOUNT_EXPORT = "account.export"
    MANIFEST_CHANGE = "manifest.change"
    ROLE_GRANT = "role.grant"
    ROLE_REVOKE = "role.revoke"
    INVITE_CREATE = "invite.create"
    INVITE_REVOKE = "invite.revoke"
    HANDLE_RESERVE = "handle.reserve"
    HANDLE_RELEASE = "handle.release"
    CONFIG_RELOAD = "config.reload"
    DASHBOARD_LINK = "dashboard.link"
    DASHBOARD_LOG_IN = "dashboard.log_in"
    KEYS_ROTATE = "keys.rotate"
    PUSH_TEST = "push.test"
    BACKUP = "backup"
    RESTORE = "restore"
    MIGRATE = "migrate"
    RETENTION_HOLD = "retention.hold"
    RETENTION_RELEASE = "retention.release"
    RETENTION_RUN = "retention.run"
    AUDIT_ERASE = "audit.erase"
    AUDIT_DROP = "audit.drop"


@dataclass(frozen=True, slots=True)
class SignedHead:
    """The log at one moment; `signed` is 64 B signature ‖ transcript."""

    head: AuditHead
    signed: bytes


def open_audit_head(signed: bytes, relay_public: bytes) -> AuditHead:
    """What a signed head says; raises MalformedRequest unless this 32 B key signed it."""
    signature, body = signed[: limits.SIGNATURE_BYTES], signed[limits.SIGNATURE_BYTES :]
    try:
        verify_signature(relay_public, body, signature)
        return parse_audit_head(body)
    except RelayError as error:
        raise MalformedRequest("this is no head that the key of this relay signed") from error


class Audit:
    """Makes the rows of one relay's log. Whoever records something calls `entry`, and gives it to the store that commits it."""

    def __init__(self, store: AuditStore, *, key: RelayKey, clock: Clock, randomness: Randomness) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._randomness = randomness

    @property
    def relay_public(self) -> bytes:
        """32 B: the key that signs rows and heads."""
        return self._key.public

    def entry(
        self, action: Action, *, actor: Party, subject: Party = NOBODY, outcome: str = "", detail: str = ""
    ) -> AuditEntry:
        """What a row is going to say; `outcome`: empty for done, else the code of the refusal."""
        return AuditEntry(
            at_ms=self._clock.now_ms(),
            action=action,
            actor=actor,
            subject=subject,
            sign=self._key.sign,
            salts=(self._randomness(SALT_BYTES), self._randomness(SALT_BYTES)),
            outcome=outcome,
            detail=detail,
        )

    def by_account(
        self, action: Action, account_id: bytes, *, subject: Party | None = None, detail: str = ""
    ) -> AuditEntry:
        """What an account does, to itself if nothing else is said, dated by the day.

        A finer time would tie the account to what was stored at that moment: entries of the logs of its groups (C8).
        """
        party = Party.account(account_id)
        entry = self.entry(action, actor=party, subject=subject or party, detail=detail)
        return replace(entry, at_ms=day_of(entry.at_ms))

    def by_relay(self, action: Action, *, subject: Party = NOBODY, detail: str = "") -> AuditEntry:
        """What the relay does by itself."""
        return self.entry(action, actor=RELAY, subject=subject, detail=detail)

    def act(self, action: Action, by: Authority) -> "Act":
        """Something that was asked for and will be recorded, whatever comes of it."""
        return Act(self, action, by)

    async def record(self, entry: AuditEntry) -> None:
        """Append it in a commit of its own: for what is no commit of another store."""
        await self._store.append(entry)

    async def head(self) -> SignedHead:
        """The log as it stands now, signed."""
        tip = await self._store.tip()
        head = AuditHead(tip.size, tip.root, self._clock.now_ms())
        body = audit_head_transcript(head.size, head.root, head.time_ms)
        return SignedHead(head, self._key.sign(body) + body)

    async def is_signed_here(self) -> bool:
        """Whether the key of this relay signed the newest row; of an empty log too."""
        tip = await self._store.tip()
        newest = await self._store.rows(tip.size - 1, 1) if tip.size else ()
        try:
            for row in newest:
                signed = audit_head_transcript(tip.size, tip.root, row.at_ms)
                verify_signature(self._key.public, signed, tip.signature)
        except RelayError:
            return False
        return True

    async def newest(self, *, since_ms: int, before: int | None, limit: int) -> tuple[AuditRow, ...]:
        """Rows, newest first; as of the port."""
        return await self._store.newest(since_ms=since_ms, before=before, limit=limit)

    async def erase(self, account_id: bytes) -> None:
        """No row tells this account's id any more; to be done, to its end, before the account is forgotten."""
        while await self._store.erase(account_id, self.by_relay(Action.AUDIT_ERASE), limit=STEP_ROWS):
            await self._clock.sleep(0)

    async def drop_details(self, *, before_ms: int) -> int:
        """One step of dropping what rows before this time say; how many rows it were."""
        return await self._store.drop_details(
            before_ms=before_ms, entry=self.by_relay(Action.AUDIT_DROP), limit=STEP_ROWS
        )


class Act:
    """One row to be: in the commit of what it records, if `done` is given to a store, and else in one of its own."""

    def __init__(self, audit: Audit, action: Action, by: Authority) -> None:
        self.by: Final = by
        self._audit = audit
        self._action = action
        self._subject = NOBODY
        self._detail = ""
        self._handed = False

    def about(self, subject: Party, *, detail: str = "") -> None:
        """Say to whom or what it is done, as soon as that is known: a refusal tells it, too."""
        self._subject, self._detail = subject, detail

    def done(self) -> AuditEntry:
        """The row for the commit that does it."""
        self._handed = True
        return self._audit.entry(
            self._action, actor=self.by.party, subject=self._subject, detail=self._detail
        )

    async def finish(self) -> None:
        """It was done; recorded now, unless a store has it."""
        if not self._handed:
            await self._audit.record(self.done())

    async def refused(self, code: str) -> None:
        """It was not done, and why."""
        entry = self._audit.entry(
            self._action, actor=self.by.party, subject=self._subject, outcome=code, detail=self._detail
        )
        await self._audit.record(entry)
