"""The repository stands alone: no path of a machine, no address of a registry, every dependency locked."""

import re
import tomllib

import pytest

from tests.architecture.source import ROOT, name_of, tracked_files

LOCKS = ("requirements.lock", "requirements-cluster.lock", "requirements-dev.lock", "requirements-uv.lock")
# Put together here, so that this file does not name them itself.
REGISTRIES = [
    "pypi" + ".org",
    "files." + "pythonhosted",
    "registry." + "npmjs",
    "proxy." + "golang",
    "crates" + ".io",
]
MACHINE_PATH = re.compile(r"(?<![\w.~$}>\])/-])/(?:work|root|home|Users)/")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def text_of(path):
    """The file as text, or nothing if it is none (a picture, a recorded vector)."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_file_names_a_registry_or_a_place_on_some_machine():
    found = [
        f"{name_of(path)}: {match}"
        for path in tracked_files()
        for match in [
            *(host for host in REGISTRIES if host in text_of(path)),
            *(hit.group() for hit in MACHINE_PATH.finditer(text_of(path))),
        ]
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["work", "root", "home", "Users"])
@pytest.mark.parametrize("text", ["cd /{}/x", 'open("/{}/bob/x")', "see /{}/.cache"])
def test_the_rule_sees_a_machine_path(text, folder):
    assert MACHINE_PATH.search(text.format(folder))


@pytest.mark.parametrize("text", ["./work/x", "~/home/x", "a/root/b", "the /workload", "tests/home/x"])
def test_the_rule_lets_other_paths_pass(text):
    assert not MACHINE_PATH.search(text)


def entries_of(lock: str) -> dict[str, int]:
    """Requirement → number of its hashes."""
    text = re.sub(r"^\s*#.*$", "", lock, flags=re.MULTILINE).replace("\\\n", " ")
    return {line.split()[0]: len(HASH.findall(line)) for line in text.splitlines() if line.strip()}


@pytest.mark.parametrize("name", LOCKS)
def test_e8_every_locked_package_has_its_hashes_and_no_index_is_named(name):
    lock = (ROOT / name).read_text(encoding="utf-8")
    entries = entries_of(lock)
    assert entries
    assert [
        entry for entry in entries if not re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?==[\w.+!-]+", entry)
    ] == []
    assert [entry for entry, hashes in entries.items() if hashes == 0] == []
    assert re.findall(r"://|--index-url|--extra-index-url|--find-links|--trusted-host", lock) == []


def test_e8_a_package_without_a_hash_is_seen():
    assert entries_of("one==1 \\\n    --hash=sha256:" + "a" * 64 + "\ntwo==2\n") == {"one==1": 1, "two==2": 0}


def test_e8_every_direct_dependency_is_in_its_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-cluster.lock": project["project"]["optional-dependencies"]["cluster"],
        "requirements-dev.lock": project["dependency-groups"]["dev"],
    }
    for lock, requirements in wanted.items():
        locked = {entry.partition("==")[0] for entry in entries_of((ROOT / lock).read_text(encoding="utf-8"))}
        names = {
            re.split(r"[\[<>=!~ ]", requirement)[0].lower().replace("_", "-") for requirement in requirements
        }
        assert names <= locked


def test_e8_what_runs_and_what_is_tested_are_the_same_versions():
    runtime, cluster, dev = (
        entries_of((ROOT / f"requirements{name}.lock").read_text(encoding="utf-8")).keys()
        for name in ("", "-cluster", "-dev")
    )
    assert runtime <= cluster <= dev


def test_nothing_depends_on_a_package_that_takes_the_name_crypto():
    for name in LOCKS:
        locked = {entry.partition("==")[0] for entry in entries_of((ROOT / name).read_text(encoding="utf-8"))}
        assert not {"pycrypto", "pycryptodome", "pycryptodomex", "crypto", "relay", "client"} & locked
