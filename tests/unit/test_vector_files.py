"""tests/vectors as a whole: each file is pinned by its hash, described, and part of what is released."""

import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import client.errors
from crypto import errors, labels
from tests.architecture.source import ROOT
from tests.vectors import pin

FOLDER = Path(pin.__file__).parent
NAMES = sorted(path.name for path in FOLDER.glob("*.json"))
VECTORS = [name for name in NAMES if name != "schema.json"]
SCHEMA = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_each_file_is_the_one_that_was_pinned() -> None:
    """Who writes a client may hold the sums: a file that changes is a change of the protocol, or a mistake."""
    pinned = dict(reversed(line.split("  ")) for line in pin.SUMS.read_text(encoding="utf-8").splitlines())
    assert sorted(pinned) == NAMES
    changed = [line for line in pin.sums().splitlines() if line not in pin.SUMS.read_text(encoding="utf-8")]
    assert changed == [], "if that is meant: python -m tests.vectors.pin, and a line in the changelog"


def test_the_sums_are_such_as_sha256sum_takes() -> None:
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", pin.SUMS.name], cwd=FOLDER, check=False
    )
    assert checked.returncode == 0


@pytest.mark.parametrize("name", VECTORS)
def test_each_file_is_described(name: str) -> None:
    headings = [line for line in README.splitlines() if line.startswith("## ")]
    assert any(name in heading for heading in headings)


def test_each_label_of_the_document_is_in_a_vector() -> None:
    """Each derivation and each signature has one of its own: where it is not in the files, nobody can compare it."""
    document = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    told = {found.encode() + b"\0" for found in re.findall(r"tokenim/v1 [a-z ]*[a-z](?=\\0)", document)}
    used = {value for value in vars(labels).values() if isinstance(value, bytes)}
    assert used <= told
    assert len(told) >= 45
    everything = "".join((FOLDER / name).read_text(encoding="utf-8") for name in VECTORS)
    assert sorted(label for label in told if label.hex() not in everything) == []


# The schema


def content_of(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def complaints(name: str, content: Any) -> list[str]:
    """What the schema says against a file of this name."""
    alone = {**SCHEMA, "required": [name]}
    return [each.message for each in Draft202012Validator(alone).iter_errors({name: content})]


def holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each value that is neither list nor object, as where it hangs and by which name."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(each, dict | list):
            yield from holders(each)
        else:
            yield value, key


def test_the_schema_is_one_and_is_about_every_file() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert sorted(SCHEMA["properties"]) == sorted(SCHEMA["required"]) == VECTORS
    assert SCHEMA["additionalProperties"] is False


@pytest.mark.parametrize("name", VECTORS)
def test_each_file_is_as_the_schema_says(name: str) -> None:
    assert complaints(name, content_of(name)) == []


@pytest.mark.parametrize("name", VECTORS)
def test_what_is_no_such_file_does_not_pass(name: str) -> None:
    """An unknown name, a missing one, bytes that are none, a number that is text, a failure that there is not."""
    assert complaints(name, {**content_of(name), "surprise": 1})
    first = next(iter(content_of(name)))
    assert complaints(name, {key: value for key, value in content_of(name).items() if key != first})
    tried, whole = set(), shortened(content_of(name))
    for at, (_, key) in enumerate(holders(whole)):
        if key in tried:
            continue
        tried.add(key)
        changed = deepcopy(whole)
        holder, key = [*holders(changed)][at]
        value = holder[key]
        holder[key] = "?" if is_number(value) or is_bytes(value) or key == "error" else 1.5
        assert complaints(name, changed), (key, value)


def shortened(content: dict[str, Any]) -> dict[str, Any]:
    """Of a conversation the first step of each kind: the others have the same names."""
    if not isinstance(content.get("steps"), list):
        return content
    return {**content, "steps": [*{step["action"]: step for step in reversed(content["steps"])}.values()]}


def is_number(value: Any) -> bool:
    return isinstance(value, int | None)


def is_bytes(value: Any) -> bool:
    return isinstance(value, str) and len(value) >= 32 and set(value) <= set("0123456789abcdef")


def test_each_kind_of_failure_is_told_and_is_one() -> None:
    kinds = SCHEMA["$defs"]["failure"]["enum"]
    table = README.partition("| kind | is |")[2].partition("## ")[0]
    assert [kind for kind in kinds if f"`{kind}`" not in table] == []
    raised = {kind: getattr(errors, kind, None) or getattr(client.errors, kind) for kind in kinds}
    assert all(issubclass(one, errors.CryptoError | client.errors.ClientError) for one in raised.values())


# What is released


def test_the_source_that_is_released_has_all_of_the_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (archive,) = tmp_path.glob("tokenim-*.tar.gz")
    with tarfile.open(archive) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    here = {f"tests/vectors/{path.name}" for path in FOLDER.iterdir() if path.is_file()}
    assert here <= inside
    assert {"tests/vectors/SHA256SUMS", "tests/vectors/README.md", "docs/protocol.md"} <= inside
