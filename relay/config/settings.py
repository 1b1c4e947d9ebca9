"""All settings of a relay, each with its default and what it means; commands and documents tell of them what stands here."""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from .addresses import Networks, SecretFile, WebOrigins, check_origin, listed, split_listen
from .cluster import NatsSettings, PostgresSettings, S3Settings
from .fields import setting
from .limits import LimitSettings, RateSettings, ShedSettings
from .permissions import DefinedRoles
from .push import PushSettings


class TlsSettings(BaseModel):
    """The relay's own TLS. When a file changes, it is read again within 30 s or at SIGHUP; open connections stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Path | None = setting(
        None,
        "PEM file with the certificate and those between it and its authority; read again when it changes; default: no TLS",
    )
    key: SecretFile | None = setting(None, "PEM file with the certificate's key, mode 0600")


class ProxySettings(BaseModel):
    """Who may say on whose behalf a request comes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trusted: Networks = setting(
        (),
        "addresses and networks of proxies in front: their X-Forwarded-For tells the address that rate limits count, their "
        "X-Forwarded-Proto whether it came by https",
    )


class AuditSettings(BaseModel):
    """The log of who did what on this relay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_days: Annotated[int, Field(ge=0, le=36_500)] = setting(
        0, "days after which rows lose what they say; their hashes stay; 0: they are kept for ever"
    )
    verify_seconds: Annotated[float, Field(ge=1, le=2_592_000)] = setting(
        21_600.0, "time from one verification of the log by the relay itself to the next"
    )
    heads_file: Path | None = setting(
        None,
        "file to which the relay adds a signed head after each verification that found the log longer, best on another "
        "machine's disk; the log is verified with the heads that are in it",
    )


class AdminSettings(BaseModel):
    """The second listener, for who runs the relay: the dashboard, `/metrics`, `/health`, `/ready`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str | None = setting(
        None,
        "HOST:PORT of the second listener, best on loopback: the dashboard, for who logs in, and the relay's figures, "
        "for whoever reaches it; default: there is none",
    )

    @field_validator("listen")
    @classmethod
    def _listen_is_host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            split_listen(value)
        return value


Work: TypeAlias = Annotated[
    tuple[Literal["api", "push", "housekeeping"], ...], BeforeValidator(listed), Field(min_length=1)
]
"""What a process does."""

RETIRED: Final = {
    "forwarded_for": "anybody could have sent that header; name the proxies that are believed, "
    'as in `proxy.trusted = ["127.0.0.1"]`',
}
"""What was a setting once, and what to write now."""


class Settings(BaseModel):
    """All settings of one relay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = setting(Path("tokenim-data"), "folder of everything that the relay keeps")
    listen: str = setting("127.0.0.1:8080", "HOST:PORT to listen on; port 0 picks a free one")
    origin: str | None = setting(
        None,
        "public origin that clients use and sign, like https://chat.example; default: the address listened on",
    )
    plain_http: bool = setting(
        False,
        "whether others than this machine may come by plain HTTP: what they send can be read and changed on its way",
    )
    web_origins: WebOrigins = setting(
        (),
        "origins of web pages whose scripts may speak with this relay (CORS), like https://app.example; "
        "default: no page of another origin",
        reload=True,
    )
    registration: Literal["invite", "admin", "open", "closed"] = setting(
        "invite",
        "who may register: who has an invite, of an operator or of a member; who has one of an operator; "
        "everybody, by a proof of work where there is none; nobody",
        reload=True,
    )
    registrations_an_hour: Annotated[int, Field(ge=1, le=1_000_000)] = setting(
        60,
        'with `registration = "open"`: from so many accounts without an invite in an hour on the proof of work grows by a bit, '
        "and by another each time that they double",
        reload=True,
    )
    roles: DefinedRoles = setting(
        None,
        "roles beside those that are there: for each name the permissions that it has, and no other; "
        "an account with a role that is defined no more may do nothing",
        reload=True,
    )
    anonymous_submit: bool = setting(
        True, "whether envelopes are taken on connections without identity; off: submits are signed"
    )
    drain_seconds: Annotated[float, Field(ge=0, le=60)] = setting(
        10.0, "how long running requests may take to finish when the relay goes down"
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "least level that is logged", reload=True
    )
    keys_file: Path | None = setting(
        None,
        "file with the keys of sealed columns of the database, mode 0600, best on another disk than its backups; "
        "default: column.keys in the data folder, and then in backups, too",
    )
    signing_key_file: SecretFile | None = setting(
        None,
        "file with the relay's signing key, mode 0600; the nodes of one relay have the same; "
        "default: relay.key in the data folder, made at the first start",
    )
    work: Work = setting(
        ("api", "push", "housekeeping"),
        "what this process is there for: requests and connections of clients, wakeups, what is done by time; of all nodes that "
        "are there for the latter two one does each at a time; without `api` it answers `/health`, `/ready` and `/metrics` alone",
    )
    postgres: PostgresSettings = setting(
        PostgresSettings.model_validate({}), "the database that the nodes of a relay share"
    )
    nats: NatsSettings = setting(
        NatsSettings.model_validate({}), "the bus by which the nodes of a relay tell each other what happened"
    )
    s3: S3Settings = setting(S3Settings.model_validate({}), "the bucket in which the bytes of blobs lie")
    tls: TlsSettings = setting(TlsSettings.model_validate({}), "the relay's own TLS")
    proxy: ProxySettings = setting(
        ProxySettings.model_validate({}), "a proxy in front of the relay", reload=True
    )
    admin: AdminSettings = setting(
        AdminSettings.model_validate({}), "the second listener, for who runs the relay"
    )
    audit: AuditSettings = setting(AuditSettings.model_validate({}), "the audit log")
    push: PushSettings = setting(PushSettings.model_validate({}), "push wakeups")
    limits: LimitSettings = setting(LimitSettings.model_validate({}), "quotas and times", reload=True)
    rates: RateSettings = setting(RateSettings.model_validate({}), "rate limits", reload=True)
    shed: ShedSettings = setting(
        ShedSettings.model_validate({}), "what is refused when there is too much to do", reload=True
    )

    @field_validator("listen")
    @classmethod
    def _listen_is_host_and_port(cls, value: str) -> str:
        split_listen(value)
        return value

    @field_validator("origin")
    @classmethod
    def _origin_is_an_origin(cls, value: str | None) -> str | None:
        return None if value is None else check_origin(value)

    @property
    def data_folder(self) -> Path:
        """The data folder as an absolute path."""
        return self.data.expanduser().absolute()

    @property
    def column_keys_file(self) -> Path | None:
        """The file of keys as an absolute path; None: the one in the data folder."""
        return None if self.keys_file is None else self.keys_file.expanduser().absolute()

    @property
    def relay_key_file(self) -> Path | None:
        """The file of the signing key as an absolute path; None: the one in the data folder."""
        return None if self.signing_key_file is None else self.signing_key_file.expanduser().absolute()

    @property
    def is_cluster(self) -> bool:
        """Whether the state is shared with other nodes."""
        return self.postgres.url is not None

    @property
    def serves_clients(self) -> bool:
        """Whether clients come to this process; of a relay of several nodes some may be there for other work alone."""
        return "api" in self.work

    @property
    def speaks_tls(self) -> bool:
        """Whether the relay itself does, and no proxy for it."""
        return self.tls.certificate is not None
