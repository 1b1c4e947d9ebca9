"""The oracle owes nothing to what it judges: proved by reading its imports, and once by running them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, imports_in, imports_of, is_under, module_of, nodes_of

ORACLE = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_"))
FORBIDDEN = ("crypto", "client", "relay", "nacl", "cryptography", "Crypto", "msgspec", "bench")
FROM_CRYPTOGRAPHY = {
    "cryptography.hazmat.primitives.ciphers.aead.AESGCM",
    "cryptography.hazmat.primitives.kdf.argon2.Argon2id",
    "cryptography.exceptions.InvalidTag",
}
COMPARES = {path for path in ORACLE if path.stem.endswith("_vectors")}  # they use pytest.raises
PLAIN = {
    *("base64", "collections", "copy", "dataclasses", "functools", "hashlib", "hmac"),
    *("json", "math", "pathlib", "re", "struct", "typing"),
}
"""All that the oracle takes from the standard library: nothing that could import, or run, anything else."""
AT_RUN_TIME = {"__import__", "__builtins__", "exec", "eval", "compile", "globals"}


def file_of(module: str) -> Path | None:
    """The file of this repository that a dotted name is imported from, if it is one."""
    for name in (module, module.rpartition(".")[0]):
        path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        if path.exists():
            return path
    return None


def breaches(imported: str, from_file: Path) -> list[str]:
    """What is wrong with an import of the oracle."""
    if imported in FROM_CRYPTOGRAPHY:
        return []
    found = file_of(imported)
    if found is not None:
        return [] if found in ORACLE else [f"{imported} is a file outside the oracle"]
    top = imported.partition(".")[0]
    if top in PLAIN or (top == "pytest" and from_file in COMPARES):
        return []
    return [f"{imported} is not plain arithmetic"]


def test_there_is_an_oracle() -> None:
    assert {"ml_kem", "x25519", "hpke", "ratchet", "sessions", "group_state"} <= {
        path.stem for path in ORACLE
    }


@pytest.mark.parametrize("path", ORACLE, ids=lambda path: path.stem)
def test_the_oracle_imports_nothing_of_what_it_judges(path: Path) -> None:
    """Transitively: whatever of this repository it imports is a file of the oracle, which stands in this list, too."""
    wrong = [each for _, imported in imports_of(path) for each in breaches(imported, path)]
    assert wrong == []
    called = {node.id for node in nodes_of(path) if isinstance(node, ast.Name)}
    assert not called & AT_RUN_TIME


@pytest.mark.parametrize(
    "line",
    [
        "import crypto",
        "from crypto.primitives import x25519",
        "from relay.wire import limits",
        "import client.contents",
        "import nacl.bindings",
        "from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey",
        "from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305",
        "from tests.crypto_people import Person",
        "from tests.oracle.test_ratchet_oracle import mixed_pair",
        "import importlib",
        "import builtins",
        "import sys",
        "from subprocess import run",
        "import msgspec",
    ],
)
def test_the_rule_sees_a_forbidden_import(line: str) -> None:
    found = [
        each
        for _, name in imports_in(ast.walk(ast.parse(line)), "tests.oracle")
        for each in breaches(name, ORACLE[0])
    ]
    assert found


def test_what_is_loaded_with_the_oracle_is_of_no_judged_package() -> None:
    """Of `cryptography` only what AES-GCM pulls in; of this repository, the oracle alone."""
    modules = [module_of(path) for path in ORACLE if path not in COMPARES]
    script = (
        f"import sys, importlib\nfor name in {modules}: importlib.import_module(name)\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    judged = [name for name in loaded for package in FORBIDDEN if is_under(name, package)]
    assert [name for name in judged if not is_under(name, "cryptography")] == []
    slow = ("mlkem", "x25519", "ed25519", "hpke")
    assert [name for name in judged if name.endswith(slow)] == []
    assert [
        name for name in loaded if is_under(name, "tests") and name not in ("tests", "tests.oracle", *modules)
    ] == []
