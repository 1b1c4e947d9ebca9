"""An alarm over the relay or a device list as the user gets to see it, with the two objects that contradict each other."""

from dataclasses import dataclass
from typing import Any

from client.store import facts
from client.store.database import Transaction
from client.store.log_rows import all_evidence, forget_logs
from client.times import iso_time
from relay.wire.links import encode_bytes, encode_id


@dataclass(frozen=True, slots=True)
class KeptAlarm:
    """Good for handing on: whoever has the relay's key, or the account's chain, can check what was signed."""

    kind: str
    account: str | None
    """Whom it is about, base32; None: the relay itself."""
    at_ms: int
    known: bytes
    """What was known before: a signed head, of a log or of a backup, or a manifest as a set-up envelope carries it."""
    other: bytes
    """What contradicts it: likewise, or the claim of a contact."""

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "evidence",
            "kind": self.kind,
            "account": self.account,
            "at": iso_time(self.at_ms),
            "known": encode_bytes(self.known),
            "other": encode_bytes(self.other),
        }


def trust_again(tx: Transaction) -> None:
    """The user has asked the operator what happened: the relay's next head is taken as the first one."""
    forget_logs(tx)
    facts.set_number(tx, facts.OWN_LOG_CHECKED_AT_MS, 0)  # the own list is looked up there at once


def kept_alarms(tx: Transaction) -> list[KeptAlarm]:
    """Every alarm that was raised here, oldest first."""
    return [
        KeptAlarm(
            row.kind,
            encode_id(row.account_id) if row.account_id else None,
            row.at_ms,
            row.known,
            row.other,
        )
        for row in all_evidence(tx)
    ]
