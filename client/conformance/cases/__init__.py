"""The cases for a relay, a chapter a file."""

from . import (
    authentication,
    blobs,
    delivery,
    delivery_rules,
    frames,
    http,
    invites,
    keys,
    logs,
    mailbox,
    operator,
    prekeys,
    push,
    reach,
    recovery,
    registration,
    transparency,
)
from .suite import SUITE

__all__ = [
    "SUITE",
    "authentication",
    "blobs",
    "delivery",
    "delivery_rules",
    "frames",
    "http",
    "invites",
    "keys",
    "logs",
    "mailbox",
    "operator",
    "prekeys",
    "push",
    "reach",
    "recovery",
    "registration",
    "transparency",
]
