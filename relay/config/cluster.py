"""A relay of several nodes: where what they share is. Without these a relay is one process with its data folder."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from .addresses import SecretFile, listed
from .fields import setting


def _postgres_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or len(parts.path) < 2:
        raise ValueError("a database is postgresql://USER@HOST:PORT/DATABASE")
    if parts.password is not None:
        raise ValueError(
            "a password stands in the file that postgres.password_file names, and never in a setting"
        )
    return value


class PostgresSettings(BaseModel):
    """The database that the nodes of a relay share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, AfterValidator(_postgres_url)] | None = setting(
        None,
        "the database of a relay of several nodes, like postgresql://tokenim@db.example:5432/tokenim; "
        "default: SQLite in the data folder",
    )
    password_file: SecretFile | None = setting(None, "file with the password of that user, mode 0600")
    ca: Path | None = setting(
        None,
        "PEM file with the authority of the database's certificate; default: no TLS, which is for a socket or a network "
        "of one's own",
    )
    connections: Annotated[int, Field(ge=2, le=1_000)] = setting(
        10,
        "connections that a node opens at most; all nodes together stay below the database's max_connections",
    )


def _nats_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("nats", "tls") or not parts.hostname:
        raise ValueError("a server of NATS is nats://HOST:PORT, or tls://HOST:PORT")
    if "@" in parts.netloc:
        raise ValueError(
            "who the relay is there stands in nats.user and the files beside it, and not in the address"
        )
    return value


class NatsSettings(BaseModel):
    """The bus by which the nodes of a relay tell each other that something happened. It stores nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers: Annotated[tuple[Annotated[str, AfterValidator(_nats_url)], ...], BeforeValidator(listed)] = (
        setting(
            (),
            "servers of NATS, like nats://nats.example:4222; default: none, and a relay that shares its database looks into it "
            "each second for what other nodes did",
        )
    )
    subject: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}$")] = setting(
        "tokenim", "subject of all announcements: another one for each relay that uses the same servers"
    )
    user: str | None = setting(None, "user there")
    password_file: SecretFile | None = setting(None, "file with the user's password, mode 0600")
    token_file: SecretFile | None = setting(
        None, "file with a token in place of user and password, mode 0600"
    )
    credentials_file: SecretFile | None = setting(
        None, "a .creds file (a JWT and the seed of an NKey), mode 0600"
    )
    ca: Path | None = setting(
        None, "PEM file with the authority of the servers' certificates; with it, TLS is asked for"
    )


def _s3_endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("an endpoint of S3 is https://HOST or https://HOST:PORT")
    return value


class S3Settings(BaseModel):
    """The bucket of S3, of Amazon or of anybody, in which the bytes of blobs lie. They are encrypted by clients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] | None = setting(
        None, "the bucket, which is there already; default: blobs are files under the data folder"
    )
    region: str = setting("us-east-1", "its region")
    endpoint: Annotated[str, AfterValidator(_s3_endpoint)] | None = setting(
        None, "where it is, like https://s3.example; default: Amazon's S3 of that region"
    )
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9/_-]{0,200}$")] = setting(
        "", "what the names of all objects begin with, where the bucket has others, too"
    )
    access_key: str | None = setting(
        None,
        "id of the key by which the relay is known there; default: that of the machine, as Amazon gives it",
    )
    secret_key_file: SecretFile | None = setting(None, "file with the secret of that key, mode 0600")
