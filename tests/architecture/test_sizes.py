"""One file, one noun: no file is long, none has a name that says nothing."""

from tests.architecture.source import PACKAGES, ROOT, name_of, product_files, python_files, tracked_files

MAX_LINES = 400
NAMES_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "stuff"}


def lines_of(text: str) -> int:
    return len(text.splitlines())


PAGE_FILES = [
    path
    for path in tracked_files()
    if path.suffix in {".js", ".css", ".html"}
    and path.parent.name != "vendor"
    and "node_modules" not in path.parts
]


def test_no_file_is_longer_than_the_hard_limit():
    lines = {
        name_of(path): lines_of(path.read_text(encoding="utf-8")) for path in [*python_files(), *PAGE_FILES]
    }
    assert {name: many for name, many in lines.items() if many > MAX_LINES} == {}, (
        "split it: one file, one noun"
    )


def test_no_module_has_a_name_that_says_nothing():
    offenders = [
        name_of(path) for path in python_files() if NAMES_NOTHING & set(path.with_suffix("").parts[-2:])
    ]
    assert offenders == []


def test_every_package_folder_has_an_init_and_a_type_marker():
    folders = {path.parent for path in product_files()}
    assert [name_of(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").exists()] == []


def test_tests_are_no_packages_and_their_names_are_unique():
    tests = [path for path in python_files() if name_of(path).startswith("tests/")]
    names = [path.name for path in tests if path.name.startswith("test_")]
    assert [name for name in names if names.count(name) > 1] == []
    assert [name_of(path) for path in tests if path.name == "__init__.py"] == []
