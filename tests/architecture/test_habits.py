"""Habits that keep mistakes out: labels that cannot be confused, checks that cannot be ignored, nothing half-done."""

import ast
import re
from collections import Counter
from collections.abc import Iterable

import pytest

from tests.architecture.source import ROOT, name_of, nodes_of, product_files, tracked_files

LABEL_START = b"tokenim/v1 "
LABEL_HOMES = ("crypto/labels.py", "relay/wire/transcripts.py")
# Labels of what never leaves one client's folder stand beside their only use.
LOCAL_LABELS = ("client/contents.py", "client/store/key_file.py")
MARK = re.compile(rf"\b(?:{'TO'}DO|{'FIX'}ME|{'X'}XX)\b")


def labels_in(nodes: Iterable[ast.AST]) -> list[bytes]:
    """Every byte string that begins like a label."""
    values = (
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, bytes)
    )
    return [value for value in values if value.startswith(LABEL_START)]


def test_labels_stand_in_their_homes_alone():
    allowed = {*LABEL_HOMES, *LOCAL_LABELS}
    assert [
        name_of(path)
        for path in product_files()
        if labels_in(nodes_of(path)) and name_of(path) not in allowed
    ] == []


@pytest.mark.parametrize(
    "path", [path for path in product_files() if LABEL_START in path.read_bytes()], ids=name_of
)
def test_b7_a_label_stands_once_and_ends_in_its_only_zero_byte(path):
    labels = labels_in(nodes_of(path))
    assert [label for label, times in Counter(labels).items() if times > 1] == []
    assert [
        label for label in labels if not re.fullmatch(rb"tokenim/v1 [a-z0-9][a-z0-9 -]*\x00", label)
    ] == []


def test_b7_no_label_of_one_package_means_something_else_in_another():
    homes = {
        name_of(path): set(labels_in(nodes_of(path))) for path in product_files() if labels_in(nodes_of(path))
    }
    shared = homes["crypto/labels.py"] & homes["relay/wire/transcripts.py"]
    both = ("manifest", "device", "prekey", "log head", "log leaf", "log handle")
    assert shared == {f"tokenim/v1 {name}\0".encode() for name in both}
    for local in LOCAL_LABELS:
        assert not homes[local] & (homes["crypto/labels.py"] | homes["relay/wire/transcripts.py"])


def test_what_verifies_raises_and_never_answers_yes_or_no():
    functions = [
        (path, node)
        for path in product_files()
        for node in nodes_of(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    answers = {
        f"{name_of(path)}: {f.name}": ast.unparse(f.returns)
        for path, f in functions
        if f.name.lstrip("_").startswith("verify_") and f.returns
    }
    assert answers
    assert {name: answer for name, answer in answers.items() if "bool" in answer} == {}, (
        "a bool can be ignored"
    )


def test_nothing_is_marked_as_half_done():
    texts = {
        path: path.read_text(encoding="utf-8", errors="ignore")
        for path in tracked_files()
        if path.suffix != ".lock"
        and not {"vendor", "node_modules"} & set(path.parts)  # of others, as they wrote it
    }
    assert [
        name_of(path) for path, text in texts.items() if path != ROOT / "LICENSE" and MARK.search(text)
    ] == []


def test_nothing_is_a_stub():
    names = [
        f"{name_of(path)}:{node.lineno}"
        for path in product_files()
        for node in nodes_of(path)
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]
    assert names == [], "a port is a Protocol; anything else does its work"
