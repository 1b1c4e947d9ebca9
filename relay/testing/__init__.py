"""A relay in the process of a test, for tests of clients and bots: `async with open_test_relay() as relay`.

    async with open_test_relay() as relay:
        link = await relay.invite()
        ...  # register a client with it; relay.url is where it listens

Everything is as in the real one; its data folder is a new one, removed at the end, unless the test names one.
"""

from .relay import TestRelay, open_test_relay

__all__ = ["TestRelay", "open_test_relay"]
