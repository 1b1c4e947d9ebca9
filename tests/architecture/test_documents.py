"""The documents say what the code does: generated tables are as the code has them, links lead somewhere."""

import fnmatch
import re

import pytest

from docs.generate import BLOCK, DESCRIPTIONS, TABLES, description, renewed
from tests.architecture.source import ROOT, name_of, tracked_files

DOCUMENTS = [path for path in tracked_files() if path.suffix == ".md"]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_generated_tables_are_as_the_code_has_them(path):
    text = path.read_text(encoding="utf-8")
    assert text == renewed(text), "the code has moved: python docs/generate.py --write"


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_the_descriptions_for_programs_are_as_the_code_has_them(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == description(name), "the code has moved: python docs/generate.py --write"


def test_every_table_has_its_place_in_one_document():
    places = [
        block["name"] for path in DOCUMENTS for block in BLOCK.finditer(path.read_text(encoding="utf-8"))
    ]
    assert sorted(places) == sorted(TABLES)


def test_the_table_of_labels_has_those_of_the_text_and_no_others():
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    label = re.compile(r"(tokenim/v1 [a-z0-9 -]+)\\0`?")
    tables = {block["name"]: block[0] for block in BLOCK.finditer(text)}
    assert set(label.findall(tables["labels"])) == set(label.findall(text.replace(tables["labels"], "")))


def test_a_changed_table_is_seen():
    assert "500" in renewed("<!-- generated: errors -->\n| `internal` | 200 |\n<!-- end -->")


def test_a_table_that_nobody_makes_is_an_error():
    with pytest.raises(KeyError):
        renewed("<!-- generated: weather -->\n<!-- end -->")


def anchor_of(heading: str) -> str:
    """The anchor that a forge makes of a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors_in(text: str) -> set[str]:
    return {
        anchor_of(line.lstrip("#")) for line in FENCE.sub("", text).splitlines() if re.match(r"#+ ", line)
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_inside_the_repository_leads_somewhere(path):
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    broken = []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = path.parent / name if name else path
        if not there.exists() or (anchor and anchor not in anchors_in(there.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


PLACE = re.compile(r"`((?:relay|client|crypto|tests|docs|bench|\.ci)/[\w./-]*)`")


# The changelog tells of the past.
@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name_of)
def test_every_file_and_folder_that_is_named_is_there(path):
    named = set(PLACE.findall(path.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PARTS = ["Situation.", "Decision.", "Consequences.", "What else was weighed."]


def test_decisions_are_numbered_without_gaps():
    assert [path.name[:4] for path in DECISIONS] == [
        f"{number:04}" for number in range(1, len(DECISIONS) + 1)
    ]


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_has_its_number_and_its_four_parts(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(path.name[:4])}. ")
    assert re.findall(r"^\*\*([^*]+\.)\*\*", text, flags=re.MULTILINE) == PARTS


MAKE = re.compile(r"\bmake ([a-z]+)\b")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_make_target_that_is_named_is_there(path):
    code = re.findall(r"`([^`\n]+)`", FENCE.sub("", path.read_text(encoding="utf-8")))
    code += FENCE.findall(path.read_text(encoding="utf-8"))
    named = {target for part in code for target in MAKE.findall(part)}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [
        target for target in sorted(named) if not re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
    ] == []


def test_anchors_are_made_like_a_forge_makes_them():
    assert anchors_in("# The `x` way, *now*\n```\n# no heading\n```\n## Session set-up (PQXDH)\n") == {
        "the-x-way-now",
        "session-set-up-pqxdh",
    }


def test_each_chapter_of_the_protocol_and_each_vector_file_is_in_a_level_of_clients_md():
    table = re.findall(r"^\| \d .*", (ROOT / "docs/clients.md").read_text(), re.MULTILINE)
    assert len(table) == 5
    levels = [line.split(" | ") for line in table]
    chapters = tuple(chapter for _, names, *_ in levels for chapter in re.split(r"[,;] | for who", names))
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/protocol.md").read_text(), re.MULTILINE)
    assert {one for one in headings if not one.startswith(chapters)} == {
        "One message, byte by byte",
        "Vectors",
    }
    patterns = re.findall(r"`([a-z0-9_*]+\.json)`", " ".join(vectors for _, _, vectors, *_ in levels))
    files = {path.name for path in (ROOT / "tests/vectors").glob("*.json")}
    named = {name for name in files for pattern in patterns if fnmatch.fnmatch(name, pattern)}
    of_this_implementation = {"schema.json", "snapshots.json", "group_snapshots.json"}
    assert files - named == of_this_implementation
