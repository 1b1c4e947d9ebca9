"""Each requirement of security and reliability that this version claims has a test that bears its id in its name."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.architecture.source import name_of, nodes_of, python_files

DEMANDED = (
    *("A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "A12", "A13"),
    *("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "B12", "B13", "B14", "B15"),
    *(
        "C1",
        "C2",
        "C3",
        "C4",
        "C5",
        "C6",
        "C7",
        "C8",
        "D1",
        "D2",
        "D3",
        "D4",
        "D5",
        "D6",
        "D7",
        "D8",
        "D9",
        "E1",
        "E2",
        "E3",
        "E4",
        "E5",
        "E6",
        "E7",
        "E8",
        "E9",
        "E10",
    ),
    *("F1", "F4", "F11", "F14", "F15", "F20", "F21", "F22", "F23", "F24", "F26"),
)


def borne_by(name: str) -> set[str]:
    """The ids that the name of a test bears; an id stands between underscores, or begins a word of a class."""
    parts = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower().split("_")
    return {requirement for requirement in DEMANDED if requirement.lower() in parts}


def names_in(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Every test function and state machine of a file."""
    for node in nodes:
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if named and node.name.lower().startswith("test"):
            yield node.name


def without_a_test(paths: Iterable[Path]) -> list[str]:
    """The ids that no test of these files bears. To parse all takes a while: a file without a new id is left out."""
    found: set[str] = set()
    for path in paths:
        words = re.findall(r"\b(?:def|class) (test\w*)", path.read_text(encoding="utf-8"), re.IGNORECASE)
        if set().union(*map(borne_by, words)) - found:
            found.update(*map(borne_by, names_in(nodes_of(path))))
    return [requirement for requirement in DEMANDED if requirement not in found]


def test_a_requirement_without_a_test_is_seen(tmp_path):
    (tmp_path / "one.py").write_text(
        "def test_a1_draining(): ...\nasync def test_a2_and_a11_hold(): ...\ndef test_b1x_is_another(): ...\n"
    )
    (tmp_path / "two.py").write_text("class TestB4B11Heals: ...\nTEXT = 'def test_b2_is_text(): ...'\n")
    missing = without_a_test([tmp_path / "one.py", tmp_path / "two.py"])
    assert [one for one in DEMANDED if one not in missing] == ["A1", "A2", "A11", "B4", "B11"]


def test_every_demanded_requirement_has_a_test():
    tests = [path for path in python_files() if name_of(path).startswith("tests/")]
    assert without_a_test(tests) == []
