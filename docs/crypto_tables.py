"""The generated tables of what clients do among themselves: the numbers of the ratchet, and every label.

Knows what crypto/limits.py and the homes of the labels say, never what they ought to say.
"""

import inspect
from typing import Final, TypeGuard

from client.contents import DIRECT_CONVERSATION_LABEL
from crypto import labels, limits
from crypto.group_changes import CHANGE_TYPES, Answer, ChangeSetting
from crypto.group_rights import ROLE_RIGHTS, Right, Role
from crypto.group_rules import WHO_MAY
from docs.markdown import remarks_in, table
from relay.wire import transcripts

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


GROUP_LIMITS: Final = (
    "MAX_CHAIN_MESSAGES",
    "MAX_CHAIN_AGE_MS",
    "MAX_SENDER_CHAINS",
    "MAX_FORWARD_JUMP",
    "MAX_SKIPPED_KEYS",
    "MAX_KEPT_EPOCHS",
    "MAX_KEPT_STEPS",
    "MAX_HELD_MESSAGES",
    "MAX_HELD_BYTES",
    "HELD_MESSAGE_LIFETIME_MS",
    "MAX_EPOCH",
    "MAX_GROUP_MEMBERS",
    "MAX_BANNED",
    "MAX_COMMIT_CHANGES",
    "MAX_GROUP_SETTINGS",
    "MAX_SETTING_NAME_BYTES",
    "MAX_SETTING_VALUE_BYTES",
    "LEAVES_SHARE_A_CUT_MS",
    "EPOCH_SECRET_WAIT_MS",
)
ACCOUNT_LIMITS: Final = (
    "LINK_LIFETIME_MS",
    "LINK_CODE_DIGITS",
    "MAX_DEVICE_NAME_BYTES",
    "RECOVERY_WORDS",
    "MAX_BACKUP_BYTES",
    "MAX_HISTORY_KEYS",
    "MAX_HISTORY_CONTENT_BYTES",
    "MAX_PROFILE_CONTENT_BYTES",
    "LEAST_PROFILE_BYTES",
    "MAX_BACKUP_COUNTER",
)
OF_SESSIONS: Final = ("MAX_SKIPPED_KEYS",)
"""Limits whose remark speaks of sessions, and that hold for a sender's chains as well."""


def ratchet_limits_table() -> str:
    """What a session keeps at most, and when a post-quantum step is due."""
    return _limits_table(RATCHET_LIMITS)


def session_limits_table() -> str:
    """How long sessions, bundles and private keys are good."""
    return _limits_table(SESSION_LIMITS)


def group_limits_table() -> str:
    """What a group, a sender and a client that holds messages keep at most."""
    rows = [[f"`{name.lower()}`", f"{getattr(limits, name):,}", _group_remark(name)] for name in GROUP_LIMITS]
    return table(["limit", "value", ""], rows)


def _group_remark(name: str) -> str:
    remark = remarks_in(limits).get(name, "")
    return remark.replace("of a session", "of one sender") if name in OF_SESSIONS else remark


def account_limits_table() -> str:
    """Linking and recovery."""
    return _limits_table(ACCOUNT_LIMITS)


def roles_table() -> str:
    """Each role, and the most that it can be given."""
    remarks = remarks_in(Role)
    rows = (
        [str(int(role)), f"`{role.name.lower()}`", remarks.get(role.name, ""), str(int(rights))]
        for role, rights in ROLE_RIGHTS.items()
    )
    return table(["value", "role", "", "rights at most"], rows)


def rights_table() -> str:
    """Each right."""
    remarks = remarks_in(Right)
    return table(
        ["bit", "right", ""], ([str(int(r)), f"`{r.name}`", remarks.get(r.name or "", "")] for r in Right)
    )


def changes_table() -> str:
    """Each kind of change: its type, the right it needs, its bytes."""
    rows = []
    for kind, number in CHANGE_TYPES.items():
        needed = WHO_MAY[kind]
        encode = inspect.getdoc(kind.encode) or ""
        bytes_ = BYTES_OF_CHANGES.get(kind, encode.splitlines()[0])
        meaning = (inspect.getdoc(kind) or "").splitlines()[0]
        rows.append([str(number), meaning, f"`{needed.name}`" if needed else "–", bytes_])
    return table(["type", "change", "right", "bytes after the type"], rows)


BYTES_OF_CHANGES: Final = {
    ChangeSetting: "a setting, as in a state",
    Answer: "64 B signature ‖ request",
}


def _limits_table(names: tuple[str, ...]) -> str:
    remarks = remarks_in(limits)
    rows = ([f"`{name.lower()}`", f"{getattr(limits, name):,}", remarks.get(name, "")] for name in names)
    return table(["limit", "value", ""], rows)


_SEEN_BY_NO_CLIENT: Final = {
    transcripts.VAPID_LABEL,
    transcripts.AUDIT_PARTY_LABEL,
    transcripts.AUDIT_ROW_LABEL,
    transcripts.AUDIT_HEAD_LABEL,
}


def labels_table() -> str:
    """Every label that a client needs, once; the zero byte that ends each is written \\0."""
    ours = (
        value
        for home in (labels, transcripts)
        for name, value in vars(home).items()
        if _is_label(name, value)
    )
    wanted = dict.fromkeys([*ours, DIRECT_CONVERSATION_LABEL])
    texts = (label.decode("ascii") for label in wanted if label not in _SEEN_BY_NO_CLIENT)
    return table(["label"], ([f"`{text[:-1]}\\0`"] for text in texts))


def _is_label(name: str, value: object) -> TypeGuard[bytes]:
    return name.isupper() and isinstance(value, bytes) and value.startswith(b"tokenim/v1 ")
