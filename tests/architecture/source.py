"""What the architecture tests look at: the files of this repository and what each of them imports.

Knows no rule; the rules stand in the tests beside it.
"""

import ast
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("relay", "client", "crypto")
UNTRACKED = {".git", ".venv", ".tools", "build", "dist", "data", "__pycache__", ".hypothesis"}


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file of the project, committed or about to be; without git, every file that is not built."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
        found = [ROOT / name for name in listed.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not UNTRACKED & set(path.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in found if path.is_file()))


def name_of(path: Path) -> str:
    """The path as a reader writes it: relay/wire/limits.py."""
    return path.relative_to(ROOT).as_posix()


def python_files() -> list[Path]:
    """Every Python file of the project, tests and tools too."""
    return [path for path in tracked_files() if path.suffix == ".py"]


def product_files() -> list[Path]:
    """The Python files that are installed."""
    return [path for path in python_files() if path.relative_to(ROOT).parts[0] in PACKAGES]


def module_of(path: Path) -> str:
    """relay/wire/limits.py is relay.wire.limits, relay/wire/__init__.py is relay.wire."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """All of the parsed file: to walk through it takes as long as to parse it, and many tests look at each."""
    return tuple(ast.walk(tree_of(path)))


@cache
def imports_of(path: Path) -> tuple[tuple[int, str], ...]:
    """(line, dotted name) of all that the file imports; for `from a import b` that is a.b."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    return tuple(imports_in(nodes_of(path), package))


def imports_in(nodes: Iterable[ast.AST], package: str) -> Iterator[tuple[int, str]]:
    """The same for the nodes of a module that lives in `package`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def is_under(name: str, package: str) -> bool:
    """Whether a dotted name is the package or something in it."""
    return name == package or name.startswith(f"{package}.")
