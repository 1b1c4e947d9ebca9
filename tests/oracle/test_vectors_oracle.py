"""Every file of tests/vectors runs through the oracle, and every value in it is compared.

Only files that are this implementation's own are let off, and only where tests/vectors/README.md says so.
"""

from collections.abc import Callable

import pytest

from tests.oracle import (
    account_vectors,
    conversation_vectors,
    derivation_vectors,
    group_vectors,
    item_vectors,
    pairwise_vectors,
    wire_vectors,
)
from tests.oracle.vector_files import FOLDER, Part, read

CHECKS: dict[str, Callable[[Part], None]] = {
    **pairwise_vectors.CHECKS,
    **group_vectors.CHECKS,
    **account_vectors.CHECKS,
    **wire_vectors.CHECKS,
    **conversation_vectors.CHECKS,
    **derivation_vectors.CHECKS,
    **item_vectors.CHECKS,
}
OWN = "implementation's own"


def own_files() -> set[str]:
    """Files of which the README says that other clients need none of them."""
    chapters = (FOLDER / "README.md").read_text(encoding="utf-8").split("\n## ")[1:]
    found = {chapter.splitlines()[0] for chapter in chapters if OWN in chapter}
    assert found == {"snapshots.json", "group_snapshots.json"}
    return found


FILES = sorted({path.name for path in FOLDER.glob("*.json")} - own_files() - {"schema.json"})


def test_there_are_files() -> None:
    assert len(FILES) >= 11
    assert set(CHECKS) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_vector_file_runs_through_the_oracle(name: str) -> None:
    assert name in CHECKS, f"the oracle knows nothing of {name}: write its derivations in tests/oracle"
    file = read(name)
    CHECKS[name](file)
    assert sorted(file.unread) == [], "values that the oracle does not compare"


def test_a_value_that_nobody_reads_is_seen() -> None:
    file = read("blobs.json")
    assert any(path.endswith("/commitment") for path in file.unread)
    assert file["blobs"][0]["commitment"]
    assert "blobs.json/blobs/0/commitment" not in file.unread
    assert "blobs.json/blobs/1/commitment" in file.unread


@pytest.mark.parametrize("name", FILES)
def test_a_changed_value_is_seen(name: str) -> None:
    """Values of a sample are changed, one at a time, and the oracle has to say so; not of what has to fail anyway."""
    file = read(name)
    sample = [path for path in sorted(file.unread) if is_bytes(value_at(file, path)) and holds(file, path)]
    for path in sample[:: max(1, len(sample) // 6)]:
        changed = read(name)
        holder, key = place_of(changed, path)
        value = holder[key]
        holder[key] = ("1" if value[0] == "0" else "0") + value[1:]
        try:
            CHECKS[name](changed)
        except Exception:  # refused, or unequal, or no longer a point
            continue
        pytest.fail(f"{path} can be anything")


def place_of(file: Part, path: str) -> tuple[dict[str, str], str]:
    """Where a leaf hangs, and by which name."""
    *above, last = path.split("/")[1:]
    holder = file.value
    for name in above:
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]
    return holder, int(last) if isinstance(holder, list) else last  # type: ignore[return-value]


def value_at(file: Part, path: str) -> object:
    holder, key = place_of(file, path)
    return holder[key]


def holds(file: Part, path: str) -> bool:
    """Whether nothing on the way to this value says that it has to fail."""
    steps = path.split("/")[1:]
    above = [value_at(file, "/".join(["", *steps[:at]])) for at in range(1, len(steps))]
    marks = [each for each in above if isinstance(each, dict) and (each.get("error") or each.get("skipped"))]
    return steps[0] != "must_fail" and not marks


def is_bytes(value: object) -> bool:
    return isinstance(value, str) and len(value) >= 32 and set(value) <= set("0123456789abcdef")
