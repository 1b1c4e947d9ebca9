"""The client in JavaScript (`js/README.md`) agrees on every vector that it needs."""

import os
import subprocess

import pytest

from tests.interop.node_of_wheel import CLIENT, NODE

FILES = sorted(path.name for path in (CLIENT / "tests").glob("*.test.js"))


def run_tests(name: str, vectors: str = "") -> str:
    done = subprocess.run(
        [NODE, "--test", "--test-reporter=tap", f"tests/{name}"],
        cwd=CLIENT,
        env={"PATH": os.environ["PATH"], **({"TOKENIM_VECTORS": vectors} if vectors else {})},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_the_tests_of_the_client_in_javascript_pass(name):
    said = run_tests(name)
    assert "\n# fail 0" in said, said
    assert "\n# skipped 0" in said, said
    assert "\n# pass 0" not in said, said


def test_a_vector_that_was_changed_is_found(tmp_path):
    for path in (CLIENT.parents[1] / "vectors").glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    changed = tmp_path / "blobs.json"
    changed.write_text(
        changed.read_text(encoding="utf-8")
        .replace('"commitment": "3', '"commitment": "4')
        .replace("c9e1", "c9e2"),
        encoding="utf-8",
    )
    assert "\n# fail 0" not in run_tests("blobs.test.js", f"{tmp_path}/")
