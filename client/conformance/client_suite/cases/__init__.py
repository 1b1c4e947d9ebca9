"""The cases for a client, a chapter a file."""

from client.conformance.client_suite.suite import CLIENT_SUITE

from . import delivery, files, groups, hostile, peer, people, registration, session

__all__ = [
    "CLIENT_SUITE",
    "delivery",
    "files",
    "groups",
    "hostile",
    "peer",
    "people",
    "registration",
    "session",
]
