"""A document and its Chinese translation have the same sections, and each section the same commands, names and code."""

import re
from itertools import zip_longest

import pytest

from tests.architecture.source import ROOT

PAIRS = [("README.md", "README.zh.md"), ("docs/operations.md", "docs/operations.zh.md")]
GENERATED = re.compile(r"<!-- generated: \w+ -->.*?<!-- end -->", re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"\s+#.*$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")


def sections(text: str) -> list[tuple[int, str]]:
    """(Level of its heading, what stands in it) of each; what is generated stands in one of the two alone."""
    text = GENERATED.sub("", text)
    hidden = FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)  # a # in code is no heading
    lines = text.splitlines()
    starts = [number for number, line in enumerate(hidden.splitlines()) if re.match(r"#+ ", line)]
    ends = [*starts[1:], len(lines)]
    return [
        (len(lines[start]) - len(lines[start].lstrip("#")), "\n".join(lines[start + 1 : end]))
        for start, end in zip(starts, ends, strict=True)
    ]


def code_of(section: str) -> list[str]:
    """The blocks of code, without what is said about them."""
    return [COMMENT.sub("", code) if kind == "sh" else code for kind, code in FENCE.findall(section + "\n")]


def named_in(section: str) -> set[str]:
    """What is written as code within sentences and tables."""
    return set(SPAN.findall(FENCE.sub("", section + "\n")))


@pytest.mark.parametrize(("original", "translation"), PAIRS)
def test_a_translation_has_the_same_sections_commands_and_names(original, translation):
    pairs = list(
        zip_longest(
            sections((ROOT / original).read_text(encoding="utf-8")),
            sections((ROOT / translation).read_text(encoding="utf-8")),
        )
    )
    assert len(pairs) > 3
    for number, (there, here) in enumerate(pairs):
        assert there is not None, f"section {number} is in the translation alone"
        assert here is not None, f"section {number} is missing in the translation"
        assert there[0] == here[0], f"section {number} has a heading of another level"
        assert code_of(there[1]) == code_of(here[1]), f"section {number}"
        assert named_in(there[1]) == named_in(here[1]), f"section {number}"


def test_a_command_that_is_missing_is_seen():
    one = "# A\n```sh\nrun --fast  # quickly\n```\nSet `a.b`.\n"
    assert code_of(sections(one)[0][1]) == code_of(sections(one.replace("quickly", "很快"))[0][1])
    assert code_of(sections(one)[0][1]) != code_of(sections(one.replace("--fast", ""))[0][1])
    assert named_in(sections(one)[0][1]) == {"a.b"}
