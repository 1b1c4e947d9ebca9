"""Each requirement of security and reliability that this version claims has a test that bears its id in its name."""

import ast
import re
from collections.abc import Iterable

from tests.architecture.source import name_of, python_files, tree_of

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


def without_a_test(demanded: Iterable[str], names: Iterable[str]) -> list[str]:
    """The ids that no test name bears; an id stands between underscores, in lower case."""
    borne = {part for name in names for part in name.split("_")}
    return [requirement for requirement in demanded if requirement.lower() not in borne]


def names_of_tests() -> list[str]:
    """Every test function and state machine of the suite."""
    return [
        re.sub(r"(?<!^)(?=[A-Z])", "_", node.name).lower()
        for path in python_files()
        if name_of(path).startswith("tests/")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.name.lower().startswith("test")
    ]


def test_a_requirement_without_a_test_is_seen():
    names = ["test_a1_draining_prekeys", "test_a2_and_a11_hold", "test_b1x_is_another"]
    assert without_a_test(["A1", "A2", "A11", "B1", "B11"], names) == ["B1", "B11"]


def test_every_demanded_requirement_has_a_test():
    assert without_a_test(DEMANDED, names_of_tests()) == []
