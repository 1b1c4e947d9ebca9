"""The libraries of the client in JavaScript are the ones that its lock and its page name, unchanged."""

import hashlib
import json
import re

from tests.interop.node_of_wheel import CLIENT

LOCKED = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))["packages"]


def test_every_file_is_listed_and_unchanged():
    listed = dict(
        reversed(line.split("  ", 1)) for line in (CLIENT / "SHA256SUMS").read_text("utf-8").splitlines()
    )
    kept = {
        str(path.relative_to(CLIENT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (CLIENT / "node_modules").rglob("*")
        if path.is_file()
    }
    assert kept == listed


def test_versions_and_licences_are_those_of_the_lock_and_the_page():
    page = re.findall(
        r"^\| (@\S+) \| (\S+) \| (\S+) \|", (CLIENT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    locked = [
        (name.removeprefix("node_modules/"), one["version"], one["license"])
        for name, one in LOCKED.items()
        if name
    ]
    assert sorted(page) == sorted(locked)
    for name, version, licence in locked:
        package = json.loads((CLIENT / "node_modules" / name / "package.json").read_text(encoding="utf-8"))
        assert (package["version"], package["license"]) == (version, licence)
        assert (CLIENT / "node_modules" / name / "LICENSE").exists()


def test_the_lock_has_hashes_and_names_no_place():
    assert all("integrity" in one and "resolved" not in one for name, one in LOCKED.items() if name)


def test_the_core_uses_nothing_of_node():
    for path in (CLIENT / "core").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"(?:from|import) '([^']+)'", text)
        assert [name for name in named if not name.startswith(("./", "@noble/", "@msgpack/"))] == [], path
        assert not re.search(r"\b(process|Buffer|require|__dirname)\b[.(]", text), path
