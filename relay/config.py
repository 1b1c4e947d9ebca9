"""The relay's settings: the only reader of its environment.

Defaults < TOML file < environment (`TOKENIM_RELAY_LISTEN`, `TOKENIM_RELAY_LIMITS__MAILBOX_BYTES`) < command line.
Frozen; an unknown name is refused together with the nearest known one.
"""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from relay.wire import limits

ENVIRONMENT_PREFIX: Final = "TOKENIM_RELAY_"
_NESTED: Final = "__"


class ConfigInvalid(Exception):
    """The settings cannot be used; the words say which one and what to do. One line."""


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

    def advertised(self) -> dict[str, int]:
        """All limits of the wire, with these in their places."""
        return {**limits.ADVERTISED, **self.model_dump()}


class Rate(BaseModel):
    """`burst` at once, then `per_second`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(description="how many at once")
    per_second: Annotated[float, Field(gt=0, le=1_000_000)] = Field(
        description="how many a second after that"
    )


class RateSettings(BaseModel):
    """Requests over HTTP, and envelopes. Addresses count by prefix (IPv4 /24, IPv6 /48), in memory only; loopback does not."""

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


class Settings(BaseModel):
    """All settings of one relay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(Path("tokenim-data"), description="folder of everything that the relay keeps")
    listen: str = Field("127.0.0.1:8080", description="HOST:PORT to listen on; port 0 picks a free one")
    origin: str | None = Field(
        None,
        description="public origin that clients use and sign, like https://chat.example; default: the address listened on",
    )
    registration: Literal["invite", "closed"] = Field("invite", description="who may register")
    anonymous_submit: bool = Field(
        True,
        description="whether envelopes are taken on connections without identity; off: submits are signed",
    )
    forwarded_for: bool = Field(
        False,
        description="a proxy in front sets X-Forwarded-For: take the address for rate limits from its last entry",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        10.0, description="how long running requests may take to finish when the relay goes down"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    limits: LimitSettings = Field(LimitSettings.model_validate({}), description="quotas and times")
    rates: RateSettings = Field(RateSettings.model_validate({}), description="rate limits")

    @field_validator("listen")
    @classmethod
    def _listen_is_host_and_port(cls, value: str) -> str:
        split_listen(value)
        return value

    @field_validator("origin")
    @classmethod
    def _origin_is_an_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        bare = f"{parts.scheme}://{parts.netloc}"
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or "@" in parts.netloc
            or value != bare
        ):
            raise ValueError(
                "an origin is scheme://host or scheme://host:port, without a path or a slash at the end"
            )
        return value


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPv6]:PORT`; raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("an address to listen on is HOST:PORT, like 127.0.0.1:8080")
    if host.startswith("["):
        host = str(ipaddress.IPv6Address(host.strip("[]")))
    elif ":" in host:
        raise ValueError("an IPv6 address to listen on stands in brackets, like [::1]:8787")
    return host, int(port)


def _known_names(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, field in model.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _known_names(field.annotation, f"{prefix}{name}.")
    return names


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else "; `tokenim-relay config show` prints all there are"


def _explain(error: ValidationError, origin_of: str) -> ConfigInvalid:
    rows = error.errors(include_url=False, include_input=False)
    first = next((row for row in rows if row["type"] == "extra_forbidden"), rows[0])
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return ConfigInvalid(f"{origin_of}: there is no setting `{name}`{_nearest(name, _known_names())}")
    return ConfigInvalid(f"{origin_of}: setting `{name}`: {first['msg'].removeprefix('Value error, ')}")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigInvalid(f"{path}: there is no such file: correct --config") from None
    except OSError as error:
        raise ConfigInvalid(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    known = {name.replace(".", _NESTED).upper(): name for name in _known_names()}
    found: dict[str, Any] = {}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        name = known.get(variable.removeprefix(ENVIRONMENT_PREFIX))
        if name is None:
            raise ConfigInvalid(
                f"environment: there is no setting `{variable}`"
                + _nearest(variable, (ENVIRONMENT_PREFIX + each for each in known))
            )
        _put(found, name, value)
    return found


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *above, last = dotted.split(".")
    for part in above:
        tree = tree.setdefault(part, {})
    tree[last] = value


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        inner = merged.get(name)
        merged[name] = (
            _merge(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
        )
    return merged


def process_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


def load_settings(
    *, file: Path | None, environment: Mapping[str, str], command_line: Mapping[str, Any] | None = None
) -> Settings:
    """The effective settings; raises ConfigInvalid with one line for a person. None on the command line means: not given."""
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if file is not None:
        layers.append((str(file), _from_file(file)))
    layers.append(("environment", _from_environment(environment)))
    layers.append(("command line", {k: v for k, v in (command_line or {}).items() if v is not None}))
    settings = Settings()
    merged = settings.model_dump()  # so that of a rate, say, one half can be set
    for where, layer in layers:
        merged = _merge(merged, layer)
        try:
            settings = Settings(**merged)
        except ValidationError as error:
            raise _explain(error, where) from error
    return settings


def effective(settings: Settings) -> dict[str, tuple[object, str]]:
    """Every setting by its dotted name: value and description. There are no secrets among them."""
    shown: dict[str, tuple[object, str]] = {}

    def walk(model: BaseModel, prefix: str) -> None:
        for name, field in type(model).model_fields.items():
            value = getattr(model, name)
            if isinstance(value, BaseModel):
                walk(value, f"{prefix}{name}.")
            else:
                shown[prefix + name] = (value, field.description or "")

    walk(settings, "")
    return shown
