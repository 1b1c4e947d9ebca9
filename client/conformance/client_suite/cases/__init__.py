"""The cases for a client, a chapter a file."""

from client.conformance.client_suite.suite import CLIENT_SUITE

from . import archive, delivery, files, groups, hostile, peer, people, registration, session, waking

__all__ = [
    "CLIENT_SUITE",
    "archive",
    "delivery",
    "files",
    "groups",
    "hostile",
    "peer",
    "people",
    "registration",
    "session",
    "waking",
]
