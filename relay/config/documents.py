"""The settings as text: the file that `config init` writes, and values as TOML has them."""

import json
import textwrap
from collections.abc import Mapping
from itertools import groupby

from .fields import Option, options_of
from .settings import Settings

_WIDTH = 110
_HEAD = """\
# Settings of a TokenIM relay. Each stands here with its default; take the # away from a line to change it.
# Environment variables and the command line go before this file. `tokenim-relay config check` says whether it can be used,
# `tokenim-relay config show` what is in effect and why. In [ ]: the values it takes.
# (SIGHUP): a change comes into effect without a restart.
"""
_EXAMPLES = {
    "origin": "https://chat.example",
    "roles": {"helpdesk": ("list_accounts", "suspend_accounts")},
    "admin.listen": "127.0.0.1:8081",
    "tls.certificate": "/etc/tokenim/fullchain.pem",
    "tls.key": "/etc/tokenim/privkey.pem",
    "push.contact": "mailto:admin@chat.example",
    "push.apns.key_file": "/etc/tokenim/AuthKey.p8",
    "push.apns.key_id": "ABC123DEFG",
    "push.apns.team_id": "DEF123GHIJ",
    "push.apns.topic": "org.example.chat",
    "push.fcm.account_file": "/etc/tokenim/service-account.json",
    "signing_key_file": "/etc/tokenim/relay.key",
    "postgres.url": "postgresql://tokenim@db.example:5432/tokenim",
    "postgres.password_file": "/etc/tokenim/postgres.password",
    "postgres.ca": "/etc/tokenim/postgres-ca.pem",
    "s3.bucket": "tokenim-blobs",
    "s3.endpoint": "https://s3.example",
    "s3.access_key": "AKIDEXAMPLE",
    "s3.secret_key_file": "/etc/tokenim/s3.secret",
    "nats.user": "relay",
    "nats.password_file": "/etc/tokenim/nats.password",
    "nats.token_file": "/etc/tokenim/nats.token",
    "nats.credentials_file": "/etc/tokenim/relay.creds",
    "nats.ca": "/etc/tokenim/nats-ca.pem",
    "keys_file": "/etc/tokenim/column.keys",
    "audit.heads_file": "/mnt/elsewhere/heads.jsonl",
}
"""Of what has no default: how it looks."""


def toml(value: object) -> str:
    """A value as TOML has it. (What JSON writes of strings, numbers, booleans and lists of them is TOML, too.)"""
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{json.dumps(str(key))} = {toml(each)}" for key, each in value.items()) + " }"
        )
    if isinstance(value, tuple):
        return json.dumps([str(each) for each in value], ensure_ascii=False)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)


def plain(value: object) -> object:
    """A value as JSON has it: None, strings, numbers, booleans, lists and objects of them."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def table_of(option: Option) -> str:
    """The TOML table that it stands in; empty at the top."""
    return option.name.rpartition(".")[0]


def commented_file() -> str:
    """Every setting with what it means and its default, commented out: loads, and changes nothing."""
    parts = [_HEAD]
    options = sorted(
        options_of(Settings()), key=lambda option: bool(table_of(option))
    )  # tables come last in TOML
    for table, group in groupby(options, key=table_of):
        if table:
            parts.append(f"\n[{table}]")
        parts += [_lines(option) for option in group]
    return "\n".join(parts) + "\n"


def _lines(option: Option) -> str:
    told = option.description + (f" [{option.allowed}]" if option.allowed else "")
    told += " (SIGHUP)" if option.reload else ""
    comment = textwrap.fill(told, _WIDTH, initial_indent="# ", subsequent_indent="#   ")
    last = option.name.rpartition(".")[2]
    if option.value is None:
        return f"{comment}\n#{last} = {toml(_EXAMPLES[option.name])}  # an example; there is no default\n"
    return f"{comment}\n#{last} = {toml(option.value)}\n"
