"""`tokenim-relay`: serve, invites, settings. Each failure is one line on stderr; exit 0 done, 1 refused, 2 usage.

Only this room and `relay.config` know that there is a terminal and an environment.
"""

from .commands import main

__all__ = ["main"]
