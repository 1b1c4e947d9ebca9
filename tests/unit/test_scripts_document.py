"""docs/scripts.md names every kind of object that the command prints, and each of its fields."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from client.archive.history_archive import ArchiveStatus
from client.message import CaughtUp, Gap, Gone, HistoryRestored, Identity, Missed, Unopened, Warned
from client.message_acts import Acted, ActKind, Edit, Mark, MessageName, Reaction
from client.passing_events import Presence, Typing
from tests.client_stand_in import FILE, TEXT

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scripts.md"
ROW = re.compile(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| `[^|]*\| ([^|]*) \|$", re.MULTILINE)
WORD = re.compile(r"`([a-z0-9_]+)`")


def documented() -> dict[str, set[str]]:
    """Type → every name in its row."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return {kind: set(WORD.findall(row[2])) for row in ROW.finditer(text) for kind in WORD.findall(row[1])}


@pytest.mark.parametrize(
    "shown",
    [
        TEXT,
        FILE,
        replace(TEXT, type="unknown", text=None),
        replace(
            TEXT,
            reply_to=MessageName("acc", "m0"),
            reactions=(Reaction("acc", "bob", "👍", 1),),
            edits=(Edit("helo", 1),),
            edited_at_ms=2,
            deleted_at_ms=3,
            delivered_to=(Mark("acc", "bob", 1),),
            read_by=(Mark("acc", "bob", 1),),
            read_at_ms=4,
            expires_after_seconds=5,
            expires_at_ms=6,
        ),
        *(Acted(kind, MessageName("acc", "m0"), "con", "acc", "bob", 1, "x") for kind in ActKind),
        Identity("acc", "dev", None, "http://relay", "owner"),
        Missed(1, "expired"),
        Gap("con", "acc", "bob", 1),
        Gone("con", "acc", "bob", 1),
        Warned("session_reset", "x", "acc"),
        Typing("con", "acc", "bob", True),
        Presence("acc", "bob", True),
        Unopened("no_session"),
        HistoryRestored(1, 1),
        ArchiveStatus(True, True, 1, 1, 0),
        CaughtUp(),
    ],
    ids=lambda shown: shown.as_json()["type"],
)
def test_every_object_and_its_fields_are_documented(shown):
    told = shown.as_json()
    names = set(told) | set(told.get("file") or ())
    assert names - {"type"} <= documented()[told["type"]]


@pytest.mark.parametrize("shown", [Gap("acc", "acc", "bob", 1), Warned("session_reset", "anew")])
def test_every_other_event_is_documented_by_its_type(shown):
    assert shown.as_json()["type"] in documented()


def words_of_warnings() -> set[str]:
    """Every literal word that a warning of the client begins with."""
    found = set()
    for path in (DOCUMENT.parents[1] / "client").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in ("warn", "_warn", "_tell", "Warned"):
                words = [one.value for one in node.args[:3] if isinstance(one, ast.Constant)]
                found |= {word for word in words if isinstance(word, str) and WORD.fullmatch(f"`{word}`")}
    return found


def test_b9_every_word_of_a_warning_is_documented():
    words = words_of_warnings()
    assert {"reordered", "session_reset", "sequence_broken", "act_refused"} <= words
    documented_words = set(WORD.findall(DOCUMENT.read_text(encoding="utf-8")))
    assert words - documented_words == set()
