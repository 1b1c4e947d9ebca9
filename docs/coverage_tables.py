"""The table of docs/coverage.md: each rule of docs/protocol.md, and which tests and cases prove it."""

from tests.protocol_rules import DOCUMENT, rules_of
from tests.proven_rules import claims


def coverage_table() -> str:
    """By chapter, a line for a rule."""
    proofs = claims()
    parts: list[str] = []
    chapter = ""
    for rule, words in sorted(rules_of(DOCUMENT.read_text(encoding="utf-8")).items()):
        if (of := rule.split("-")[1]) != chapter:
            parts.append(f"\n**{of}**\n\n| rule | says | proved by |\n| --- | --- | --- |")
            chapter = of
        by = "<br>".join(f"`{one}`" for one in proofs.get(rule, ()))
        parts.append(f"| {rule} | {words.replace('|', chr(92) + '|')} | {by} |")
    return "\n".join(parts).lstrip() + "\n"
