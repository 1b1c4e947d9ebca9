"""What of new settings comes into effect while the relay runs, and what waits for its next start."""

from dataclasses import dataclass

from .fields import options_of, put
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Changes:
    """`settings` are in effect from now on; both others are dotted names of what has changed."""

    settings: Settings
    reloaded: tuple[str, ...]
    waiting: tuple[str, ...]


def changes_between(running: Settings, wanted: Settings) -> Changes:
    """From the settings that a relay runs with to those that its sources hold now."""
    reloaded, waiting, tree = [], [], running.model_dump()
    before = {option.name: option.value for option in options_of(running)}
    for option in options_of(wanted):
        if before[option.name] == option.value:
            continue
        if option.reload:
            put(tree, option.name, option.value)
            reloaded.append(option.name)
        else:
            waiting.append(option.name)
    return Changes(Settings(**tree), tuple(reloaded), tuple(waiting))


@dataclass(slots=True)
class Current:
    """The settings in effect, for whoever asks each time."""

    settings: Settings
