"""The generated tables of what clients do among themselves: the numbers of the ratchet, and every label.

Knows what crypto/limits.py and crypto/labels.py say, never what they ought to say.
"""

from typing import Final

from crypto import labels, limits
from docs.markdown import remarks_in, table

RATCHET_LIMITS: Final = (
    "MAX_FORWARD_JUMP",
    "MAX_SKIPPED_KEYS",
    "MAX_RECEIVING_CHAINS",
    "MAX_USED_NUMBERS",
    "SKIPPED_KEY_LIFETIME_MS",
    "KEM_STEP_AFTER_ROOT_STEPS",
    "KEM_STEP_AFTER_MS",
)
SESSION_LIMITS: Final = (
    "MAX_UNANSWERED_SESSION_MS",
    "MAX_ARCHIVED_SESSIONS",
    "ARCHIVED_SESSION_LIFETIME_MS",
    "MAX_SETUP_NUMBER_JUMP",
    "MAX_SETUP_MANIFESTS",
    "ONE_TIME_STOCK",
    "PREKEY_ROTATION_MS",
    "MAX_KEY_AGE_MS",
    "RETIRED_KEY_LIFETIME_MS",
    "MAX_CLOCK_SKEW_MS",
)


def ratchet_limits_table() -> str:
    """What a session keeps at most, and when a post-quantum step is due."""
    return _limits_table(RATCHET_LIMITS)


def session_limits_table() -> str:
    """How long sessions, bundles and private keys are good."""
    return _limits_table(SESSION_LIMITS)


def _limits_table(names: tuple[str, ...]) -> str:
    remarks = remarks_in(limits)
    rows = ([f"`{name.lower()}`", f"{getattr(limits, name):,}", remarks.get(name, "")] for name in names)
    return table(["limit", "value", ""], rows)


def labels_table() -> str:
    """Every label; the zero byte that ends each is written \\0."""
    texts = (value.decode("ascii") for name, value in vars(labels).items() if name.isupper())
    return table(["label"], ([f"`{text[:-1]}\\0`"] for text in texts))
