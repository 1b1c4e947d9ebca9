"""The rules of docs/protocol.md, by their ids: what stands before `[M-AUTH-03]`, from the id or sentence before it on."""

import re
from itertools import groupby
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "protocol.md"
RULE_ID: Final = re.compile(r"\[(M-[A-Z]+-[0-9]{2})\]")
WORDS: Final = re.compile(r"\bMUST\b|\[M-[A-Z]+-[0-9]{2}\]")
EXPLAINED: Final = re.compile(r"^The words MUST.*?given to another\.", re.MULTILINE | re.DOTALL)

RETIRED: Final[frozenset[str]] = frozenset()
"""Ids of rules that are gone; they are not given to others."""


def normative(document: str) -> str:
    """The document without the sentences that explain the words and the ids."""
    return EXPLAINED.sub("", document)


def ids_in(document: str) -> list[str]:
    """Every id, in the order of the document."""
    return RULE_ID.findall(normative(document))


def out_of_step(document: str) -> list[str]:
    """Each MUST that has no id behind it, and each id with no MUST before it, with the words around."""
    text = normative(document)
    found = []
    after_id = True
    for word in WORDS.finditer(text):
        is_id = word[0] != "MUST"
        if is_id == after_id:
            found.append(text[max(0, word.start() - 60) : word.end() + 20])
        after_id = is_id
    return found if after_id else [*found, "the last MUST has no id"]


def misnumbered(ids: list[str], retired: frozenset[str]) -> list[str]:
    """What is wrong with the numbers: an id twice, one of a retired rule, or a gap that no retired one explains."""
    faults = [f"{one} stands twice" for one, same in groupby(sorted(ids)) if len(list(same)) > 1]
    faults += [f"{one} is retired" for one in sorted(retired & set(ids))]
    known = sorted(retired | set(ids))
    for chapter, members in groupby(known, key=lambda one: one.rpartition("-")[0]):
        numbers = [int(one.rpartition("-")[2]) for one in members]
        faults += [
            f"{chapter}-{gap:02} is missing: is it retired?"
            for gap in sorted(set(range(1, numbers[-1])) - set(numbers))
        ]
    return faults


def rules_of(document: str) -> dict[str, str]:
    """By id, the clause that it stands behind, on one line and without links."""
    rules = {}
    text = normative(document)
    at = 0
    for found in RULE_ID.finditer(text):
        before = text[max(at, text.rfind("\n\n", 0, found.start())) : found.start()]
        at = found.end()
        clause = re.split(r"(?<=[.:;!?])\s+(?:- |[0-9]+\. )?(?=[A-Z*`])", before.strip())[-1]
        rules[found[1]] = " ".join(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", clause).split()).lstrip(".,;:) ")
    return rules
