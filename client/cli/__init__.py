"""The `tokenim` command: the client library for people in a terminal and for scripts. Holds no logic of its own."""

from .commands import main

__all__ = ["main"]
