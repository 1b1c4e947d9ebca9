"""Every refusal the relay makes on purpose, in one tree; docs/protocol.md, "Errors".

RelayError
├── Malformed                     the bytes are not of the protocol
│   ├── MalformedFrame
│   ├── MalformedRequest
│   ├── UnsupportedMedia
│   ├── UnsupportedVersion
│   ├── RangeInvalid
│   └── TooLarge
├── OutOfTurn                     a frame that may not come now
├── Unauthenticated               unknown device, bad signature, used nonce and stale time are one answer
├── NotAllowed                    also what an unknown account answers to somebody without a token
├── WorkRequired                  for whoever writes to a public token, or registers without an invite
├── NotFound
├── InviteInvalid
├── HandleTaken
├── HandleInvalid
├── Conflict                      another value stands there already
│   ├── ManifestConflict
│   ├── PrekeyConflict
│   ├── OffsetConflict
│   └── LastOwner                 nobody could undo it
├── ManifestInvalid               a manifest that its chain does not allow
├── ChecksumMismatch              what was uploaded is not what was named
├── SequenceAhead                 the client has seen more than the relay ever gave
├── QuotaExceeded
│   ├── MailboxFull
│   ├── BudgetSpent
│   └── StorageFull               the relay's disk
├── RateLimited
├── Replaced                      a newer connection has the mailbox (close code 4001)
├── ShuttingDown
├── Unavailable                   the store cannot commit
└── Overloaded                    there is too much to do: those who are here already come first

Anything else that is raised is a bug: it is logged with a request id and answered as `internal`, without detail.
"""

from typing import ClassVar, Final


class RelayError(Exception):
    """Root of the tree. `code` is stable, `detail` says for a person what to do; never holds what the client sent."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    detail: ClassVar[str] = "the relay failed; the request id tells its operator where"

    def __init__(self, detail: str | None = None, *, retry_after_ms: int = 0) -> None:
        super().__init__(detail or self.detail)
        self.retry_after_ms = retry_after_ms


class Malformed(RelayError):
    """The bytes are not of the protocol."""

    code, http_status = "malformed", 400
    detail = "not understood"


class MalformedFrame(Malformed):
    """A WebSocket message that is not an array of 1 to 64 known, exactly shaped frames."""

    code = "malformed_frame"
    detail = "the message is not an array of known frames"


class MalformedRequest(Malformed):
    """A body, parameter or header that does not fit its model."""

    code = "malformed_request"
    detail = "the request does not fit its model"


class UnsupportedMedia(Malformed):
    """A content type or content encoding that the resource does not take; compressed bodies are never taken."""

    code, http_status = "unsupported_media", 415
    detail = "this content type or encoding is not taken here"


class UnsupportedVersion(Malformed):
    """Tus-Resumable is missing or not 1.0.0 (status: tus 1.0.0)."""

    code, http_status = "unsupported_version", 412
    detail = "uploads speak tus 1.0.0: send Tus-Resumable: 1.0.0"


class RangeInvalid(Malformed):
    """No byte of the range is in the blob; Content-Range tells its length (RFC 9110)."""

    code, http_status = "range_invalid", 416
    detail = "the range begins behind the end"


class TooLarge(Malformed):
    """Over the size limit of its kind."""

    code, http_status = "too_large", 413
    detail = "larger than the limit of its kind"


class OutOfTurn(RelayError):
    """A frame that may not come in this state of the connection."""

    code, http_status = "out_of_turn", 409
    detail = "this frame may not come now"


class Unauthenticated(RelayError):
    """The signature does not prove a known device; also for a used nonce or a time more than 90 s away."""

    code, http_status = "unauthenticated", 401
    detail = (
        "the request is not signed by a device known here: it or its account is no more,"
        " or its clock is not that of the Date header"
    )


class NotAllowed(RelayError):
    """No right to this, or no valid delivery token; the same for an account that does not exist."""

    code, http_status = "not_allowed", 403
    detail = "not allowed"


class WorkRequired(RelayError):
    """Without a proof of work that is enough here: an outcome of a target, or a registration without an invite."""

    code, http_status = "work_required", 403
    detail = "the relay asks for a proof of work, or for more of it: its document says how many bits"


class NotFound(RelayError):
    """No such resource."""

    code, http_status = "not_found", 404
    detail = "there is no such resource"


class InviteInvalid(RelayError):
    """The invite is unknown, used up, expired or revoked."""

    code, http_status = "invite_invalid", 403
    detail = "this invite is unknown, used up, expired or revoked: ask for a new one"


class HandleTaken(RelayError):
    """Another account has this handle."""

    code, http_status = "handle_taken", 409
    detail = "this handle is taken: choose another"


class HandleInvalid(RelayError):
    """Not a handle: 2 to 32 of a–z, 0–9, dot, dash, underscore; begins with a letter or digit."""

    code, http_status = "handle_invalid", 422
    detail = "a handle is 2 to 32 of a-z, 0-9, dot, dash and underscore, and begins with a letter or digit"


class Conflict(RelayError):
    """Another value stands there already."""

    code, http_status = "conflict", 409
    detail = "another value stands there already"


class ManifestConflict(Conflict):
    """The manifest does not follow the current one; fetch that and put the change on top."""

    code = "manifest_conflict"
    detail = "this manifest does not follow the current one: fetch it and put the change on top"


class PrekeyConflict(Conflict):
    """A prekey id that is not above the highest the relay has accepted of its kind."""

    code = "prekey_conflict"
    detail = "a prekey id is not above the highest one accepted of its kind"


class OffsetConflict(Conflict):
    """Upload-Offset is not where the upload stands."""

    code = "offset_conflict"
    detail = "Upload-Offset is not where this upload stands: ask by HEAD"


class LastOwner(Conflict):
    """The last owner that is not suspended keeps its role, and is not suspended."""

    code = "last_owner"
    detail = "this is the relay's last owner: make another account an owner first"


class ManifestInvalid(RelayError):
    """The manifest's shape, keys or signatures break a rule."""

    code, http_status = "manifest_invalid", 422
    detail = "the manifest breaks a rule of its chain"


class ChecksumMismatch(RelayError):
    """The bytes of a blob, or of one chunk, do not have the hash that was named (status: tus 1.0.0, checksum)."""

    code, http_status = "checksum_mismatch", 460
    detail = "these bytes do not have the hash that was named: what they were to complete is removed"


class SequenceAhead(RelayError):
    """`resume` or `ack` names a sequence above what the relay has delivered."""

    code, http_status = "sequence_ahead", 409
    detail = "this sequence has not been delivered"


class QuotaExceeded(RelayError):
    """A quota of the account is used up."""

    code, http_status, retryable = "quota_exceeded", 507, True
    detail = "a quota is used up"


class MailboxFull(QuotaExceeded):
    """The recipient's mailbox holds MAILBOX_ENVELOPES or MAILBOX_BYTES."""

    code = "mailbox_full"
    detail = "the recipient's mailbox is full"


class BudgetSpent(QuotaExceeded):
    """Too much came by tokens of this class: an outcome of a target, never of a request."""

    code = "budget_spent"
    detail = "the recipient takes no more from people they do not know for now"


class StorageFull(QuotaExceeded):
    """The relay's disk is full; acknowledging and deleting still work."""

    code = "storage_full"
    detail = "the relay has no room left: try again later, its operator is told"


class RateLimited(RelayError):
    """Too much in too short a time; `Retry-After` says when."""

    code, http_status, retryable = "rate_limited", 429, True
    detail = "too much in too short a time"


class Replaced(RelayError):
    """A newer connection of the same device has the mailbox."""

    code, http_status = "replaced", 409
    detail = "a newer connection of this device has the mailbox"


class ShuttingDown(RelayError):
    """The relay is going down; connect again in a moment."""

    code, http_status, retryable = "shutting_down", 503, True
    detail = "the relay is going down: connect again in a moment"


class Unavailable(RelayError):
    """The store cannot commit; nothing was accepted."""

    code, http_status, retryable = "unavailable", 503, True
    detail = "the relay cannot store at the moment: nothing was accepted, try again"

    def __init__(
        self, detail: str | None = None, *, retry_after_ms: int = 0, read_only: bool = False
    ) -> None:
        """`read_only`: for a known while; what only reads may go on without what it would have noted."""
        super().__init__(detail, retry_after_ms=retry_after_ms)
        self.read_only = read_only


class Overloaded(RelayError):
    """The relay has too much to do, or too little room, for this; who is here already comes first. `Retry-After` says when."""

    code, http_status, retryable = "overloaded", 503, True
    detail = "the relay takes no more of this at the moment: try again later"


CLOSE_CODES: Final[dict[str, int]] = {
    "shutting_down": 1012,  # RFC 6455 registry: service restart
    "internal": 1011,
    "too_large": 1009,
    "malformed_frame": 4000,
    "replaced": 4001,
    "unauthenticated": 4002,
    "out_of_turn": 4003,
    "device_revoked": 4004,
    "not_reading": 4005,
    "unavailable": 4006,
    "sequence_ahead": 4007,
    "not_allowed": 4008,
    "rate_limited": 4009,
}
"""WebSocket close code for each code that ends a connection."""


def every_error() -> tuple[type[RelayError], ...]:
    """All classes of the tree, root first, in the order they are written."""
    found: list[type[RelayError]] = [RelayError]
    for cls in found:
        found.extend(cls.__subclasses__())
    return tuple(found)
