"""How much and how often: quotas, times and rates that an operator may set. All of them follow SIGHUP."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from relay.wire import limits


class LimitSettings(BaseModel):
    """Quotas and times that an operator may lower; what is told in `/.well-known/tokenim`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_ttl_seconds: Annotated[int, Field(ge=60, le=limits.MAX_TTL_SECONDS)] = Field(
        limits.MAX_TTL_SECONDS, description="longest time an envelope waits for its device"
    )
    mailbox_envelopes: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        limits.MAILBOX_ENVELOPES, description="envelopes that one mailbox holds"
    )
    mailbox_bytes: Annotated[int, Field(ge=limits.MAX_ENVELOPE_BYTES, le=2**40)] = Field(
        limits.MAILBOX_BYTES, description="bytes that one mailbox holds"
    )
    stranger_burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        limits.STRANGER_BURST,
        description="units of 8 KiB that an account takes at once by its link tokens, and by its public ones",
    )
    stranger_mailbox_percent: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        limits.STRANGER_MAILBOX_PERCENT,
        description="of a mailbox: what may come by link tokens in max_ttl_seconds, and by public ones; "
        "from 100 on its own quota is the only bound",
    )
    public_work_bits: Annotated[int, Field(ge=0, le=limits.MAX_PUBLIC_WORK_BITS)] = Field(
        limits.PUBLIC_WORK_BITS,
        description="bits of the proof of work with each envelope to a public token; 0: none is asked for",
    )
    registration_work_bits: Annotated[int, Field(ge=0, le=limits.MAX_REGISTRATION_WORK_BITS)] = Field(
        limits.REGISTRATION_WORK_BITS,
        description='with `registration = "open"`: bits of the proof of work for an account without an invite, while few come; '
        "0: none is asked for, however many come",
    )
    invites_of_account: Annotated[int, Field(ge=0, le=1_000)] = Field(
        limits.INVITES_OF_ACCOUNT,
        description='with `registration = "invite"` or `"open"`: open invites that an account without the right to '
        "manage invites may have; 0: only operators invite",
    )
    handle_kept_seconds: Annotated[int, Field(ge=0, le=3_153_600_000)] = Field(
        limits.HANDLE_KEPT_SECONDS,
        description="a handle that was given back, or whose account was deleted, goes to nobody else for so long",
    )
    max_blob_bytes: Annotated[int, Field(ge=0, le=2**40)] = Field(
        limits.MAX_BLOB_BYTES, description="largest blob"
    )
    blob_quota_bytes: Annotated[int, Field(ge=0, le=2**50)] = Field(
        limits.BLOB_QUOTA_BYTES, description="blobs of one account, unfinished ones at their full length"
    )
    blob_ttl_seconds: Annotated[int, Field(ge=60)] = Field(
        limits.BLOB_TTL_SECONDS, description="a finished blob is removed after this time"
    )
    blob_upload_seconds: Annotated[int, Field(ge=60)] = Field(
        limits.BLOB_UPLOAD_SECONDS,
        description="an unfinished blob is removed after this time without progress",
    )
    account_log_bytes: Annotated[int, Field(ge=limits.MAX_LOG_ENTRY_BYTES, le=2**50)] = Field(
        limits.ACCOUNT_LOG_BYTES, description="sealed logs of one account"
    )
    group_log_bytes: Annotated[int, Field(ge=limits.MAX_LOG_ENTRY_BYTES, le=2**50)] = Field(
        limits.GROUP_LOG_BYTES, description="one sealed log of a group"
    )
    group_log_idle_seconds: Annotated[int, Field(ge=604_800)] = Field(
        limits.GROUP_LOG_IDLE_SECONDS,
        description="a group's log is removed after this time without a read or an append",
    )
    connections: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        limits.CONNECTIONS, description="WebSockets at once, of everybody"
    )
    connections_of_address: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        limits.CONNECTIONS_OF_ADDRESS,
        description="WebSockets at once from one address prefix (IPv4 /24, IPv6 /48); those from loopback do not count",
    )
    connections_of_device: Annotated[int, Field(ge=1, le=1_000)] = Field(
        limits.CONNECTIONS_OF_DEVICE,
        description="signed WebSockets at once of one device; for one more the oldest ends",
    )

    def advertised(self) -> dict[str, int]:
        """All limits of the wire, with these in their places."""
        return {**limits.ADVERTISED, **self.model_dump()}


class Rate(BaseModel):
    """`burst` at once, then `per_second`."""

    told_by_its_place: ClassVar[bool] = True  # what it limits is said where it stands
    model_config = ConfigDict(frozen=True, extra="forbid")

    burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(description="how many at once")
    per_second: Annotated[float, Field(gt=0, le=1_000_000)] = Field(
        description="how many a second after that"
    )


class RateSettings(BaseModel):
    """How much in how short a time; told in `/.well-known/tokenim`.

    Requests over HTTP, and envelopes. Addresses count by prefix (IPv4 /24, IPv6 /48), in memory only; loopback does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Rate = Field(Rate(burst=600, per_second=60), description="signed requests of one device")
    address: Rate = Field(Rate(burst=1_200, per_second=120), description="requests from one address prefix")
    registration: Rate = Field(
        Rate(burst=20, per_second=0.1), description="registrations tried from one address prefix"
    )
    lookup: Rate = Field(Rate(burst=60, per_second=1), description="handles looked up by one device")
    upload: Rate = Field(Rate(burst=120, per_second=2), description="blobs begun by one device")
    link: Rate = Field(
        Rate(burst=40, per_second=0.5), description="slots of link mailboxes written from one address prefix"
    )
    recovery: Rate = Field(
        Rate(burst=20, per_second=0.1), description="recoveries tried from one address prefix"
    )
    group_log: Rate = Field(
        Rate(burst=100, per_second=0.02), description="sealed logs of groups made by one account"
    )
    push: Rate = Field(
        Rate(burst=20, per_second=0.01), description="times that one device registers for wakeups"
    )
    export: Rate = Field(
        Rate(burst=5, per_second=0.001), description="times that an account reads all that there is about it"
    )
    token: Rate = Field(
        Rate(burst=50_000, per_second=2_000),
        description="envelopes that come by one contact or group token",
    )
    submit: Rate = Field(
        Rate(burst=50_000, per_second=4_000), description="targets of the submits of one WebSocket"
    )
    submit_address: Rate = Field(
        Rate(burst=200_000, per_second=8_000),
        description="targets of submits from one address prefix, by all its connections",
    )

    def advertised(self) -> dict[str, Rate]:
        """All of them, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class ShedSettings(BaseModel):
    """From when on new accounts are refused; a little further uploads, and then new connections: who is here comes first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    loop_late_ms: Annotated[int, Field(ge=10, le=60_000)] = Field(
        200,
        description="new accounts are refused while the event loop is late by so many milliseconds, over some seconds",
    )
    memory_percent: Annotated[int, Field(ge=1, le=100)] = Field(
        85,
        description="new accounts are refused while the process has so much of the memory that it may have "
        "(of its control group, or of the machine); 100: however much it has",
    )
    disk_free_bytes: Annotated[int, Field(ge=0, le=2**50)] = Field(
        1_073_741_824,
        description="uploads are refused while the disk of the data folder has less room (a twentieth of a small disk), "
        "new accounts already at twice that",
    )
