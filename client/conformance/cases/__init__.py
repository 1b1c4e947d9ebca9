"""The cases for a relay, a chapter a file."""

from . import (
    authentication,
    blobs,
    delivery,
    frames,
    http,
    logs,
    mailbox,
    operator,
    prekeys,
    push,
    reach,
    registration,
    transparency,
)
from .suite import SUITE

__all__ = [
    "SUITE",
    "authentication",
    "blobs",
    "delivery",
    "frames",
    "http",
    "logs",
    "mailbox",
    "operator",
    "prekeys",
    "push",
    "reach",
    "registration",
    "transparency",
]
