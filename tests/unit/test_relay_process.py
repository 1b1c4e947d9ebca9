"""How much memory the process may have: of its control group, of those around it, or of the machine."""

import os
from pathlib import Path

import pytest

from relay.adapters.process import memory_bytes

WHOLE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 1 << 20


@pytest.mark.parametrize(
    ("told", "limits", "least"),
    [
        ("0::/\n", {".": 64 * MIB}, 64 * MIB),  # in a container, as it sees itself
        ("0::/system.slice/relay.service\n", {"system.slice/relay.service": 64 * MIB}, 64 * MIB),
        ("0::/a.slice/relay.service\n", {"a.slice": 32 * MIB, "a.slice/relay.service": 64 * MIB}, 32 * MIB),
        ("0::/a.slice/relay.service\n", {"a.slice/relay.service": "max", "b.slice": 64 * MIB}, WHOLE),
        ("0::/a.slice/relay.service\n", {"a.slice/relay.service": 2**60}, WHOLE),
        ("4:memory:/a\n0::/\n", {"a": 64 * MIB}, WHOLE),
        ("0::/../a\n", {"../a": 64 * MIB, ".": 32 * MIB}, 32 * MIB),
        ("0::/of/the/host\n", {".": 64 * MIB}, 64 * MIB),  # in a container that is told the host's names
    ],
)
def test_the_least_limit_around_the_process_counts(
    tmp_path: Path, told: str, limits: dict[str, object], least: int
) -> None:
    groups = tmp_path / "cgroup"
    groups.mkdir()
    for name, limit in limits.items():
        (groups / name).mkdir(parents=True, exist_ok=True)
        (groups / name / "memory.max").write_text(f"{limit}\n")
    membership = tmp_path / "membership"
    membership.write_text(told)
    assert memory_bytes(membership, groups) == least


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path / "no", tmp_path / "none") == WHOLE
