"""Stops the own process by SIGKILL at a named step: for the fault tests and the demonstration, never by itself.

The command takes it from the environment variable TOKENIM_KILL_AT, `<step>:<count>`, say `decrypted:40`: the process
dies when that step is reached for the 40th time (a step is reached once for each message).
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Final

from .errors import UsageError
from .system import Step, System, this_machine

VARIABLE: Final = "TOKENIM_KILL_AT"


def killed_at(spec: str) -> Callable[[Step], None]:
    """What to hand to `this_machine` so that `spec` happens; raises UsageError for a spec that is none."""
    name, _, count = spec.partition(":")
    if name not in set(Step) or not count.isascii() or not count.isdigit() or int(count) < 1:
        raise UsageError(f"{VARIABLE} is <step>:<count>, a step being one of {', '.join(Step)}")
    left = int(count)
    lock = threading.Lock()

    def reached(step: Step) -> None:
        nonlocal left
        if step != name:
            return
        with lock:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached


def machine(environment: Mapping[str, str]) -> System:
    """The real machine; one that stops the process if the environment says so. Raises UsageError."""
    spec = environment.get(VARIABLE)
    return this_machine() if spec is None else this_machine(killed_at(spec))
