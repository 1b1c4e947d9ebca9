"""The mutations themselves: each has a whole head, applies, and names a case that there is. `make mutations` runs them."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from client.conformance.cases import SUITE
from client.conformance.client_suite.cases import CLIENT_SUITE
from tests.conformance.mutate import (
    PATCHES,
    ROOT,
    TRIALS,
    Broken,
    copy_tree,
    patch,
    read_mutation,
    reason,
    try_client,
)

RUFF = Path(sys.executable).with_name("ruff")
FILES = sorted(PATCHES.glob("*.patch"))
HEADINGS = re.findall(r"^## (.+)$", (ROOT / "docs/protocol.md").read_text(), re.MULTILINE)
WITHOUT_A_FAULT = {
    "One message, byte by byte": "an example of what other chapters say; tests/journeys/test_first_page.py plays it",
    "Vectors": "it says where files are, and nothing that a relay or a client does",
}
DIES = """\
subject: client
case: client-registers
chapter: Registration
fault: it cannot even be imported

--- a/client/conformance_adapter.py
+++ b/client/conformance_adapter.py
@@ -1 +1,2 @@
+raise SystemExit("dead")
 """


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    into = tmp_path_factory.mktemp("tree")
    copy_tree(into)
    return into


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_mutation_applies_and_names_its_case_and_chapter(file, tree):
    mutation = read_mutation(file)
    assert mutation.subject in TRIALS
    suite = SUITE if mutation.subject == "relay" else CLIENT_SUITE
    assert mutation.case in suite.cases
    assert mutation.chapter in HEADINGS
    patch(tree, mutation)
    try:
        names = [
            line.removeprefix("+++ b/") for line in file.read_text().splitlines() if line.startswith("+++ b/")
        ]
        assert unknown_names(tree, names) == ""
    finally:
        patch(tree, mutation, "-R")


def unknown_names(tree, files):
    """A slip in a patch ends what it is in: then a case fails, and has not seen the fault that the patch is to be."""
    ruff = [
        RUFF,
        "check",
        "--quiet",
        "--isolated",
        "--no-cache",
        "--select",
        "F821",
        "--output-format",
        "concise",
    ]
    return subprocess.run([*ruff, *files], cwd=tree, capture_output=True, text=True, check=False).stdout


def test_a_name_that_is_not_there_is_found_in_what_a_patch_makes(tmp_path):
    (tmp_path / "module.py").write_text("def well() -> int:\n    return nowhere\n")
    assert "`nowhere`" in unknown_names(tmp_path, ["module.py"])


def test_no_case_sees_all_and_a_patch_that_does_not_apply_is_told(tree, tmp_path):
    assert max(Counter(read_mutation(file).case for file in FILES).values()) == 1
    stale = tmp_path / "stale.patch"
    stale.write_text(FILES[0].read_text().replace("\n-", "\n-x"))
    with pytest.raises(Broken, match="does not apply"):
        patch(tree, read_mutation(stale))
    stale.write_text("subject: relay\ncase: x\n")
    with pytest.raises(Broken, match="lacks 'chapter'"):
        read_mutation(stale)


def test_every_chapter_that_says_what_is_done_has_a_fault_of_it():
    chapters = {read_mutation(file).chapter for file in FILES}
    assert len(FILES) >= 30
    assert set(HEADINGS) - chapters == set(WITHOUT_A_FAULT)


def test_a_client_that_does_not_start_is_not_caught(tree, tmp_path):
    file = tmp_path / "dies.patch"
    first = (ROOT / "client/conformance_adapter.py").read_text().splitlines()[0]
    file.write_text(f"{DIES}{first}\n")
    mutation = read_mutation(file)
    patch(tree, mutation, "--unidiff-zero")
    try:
        with pytest.raises(Broken, match="the client did not start: ann ended before it took register: dead"):
            try_client(tree, tmp_path, [mutation.case], 15)
    finally:
        patch(tree, mutation, "--unidiff-zero", "-R")


def test_why_a_case_failed_is_one_short_line():
    assert reason("failed  case  1.0 s\n      it said\n   no") == "it said no"
    assert reason("failed  case  1.0 s\n" + "x" * 500) == "x" * 159 + "…"
