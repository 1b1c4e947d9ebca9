"""Files of tests/vectors, read so that one can say what nobody read: a value that is not compared is not covered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "vectors"
TOLD = frozenset({"about", "description", "name", "does", "why"})
"""Names of values that are for people."""


class Part:
    """A list or an object of a file; what is taken out of it counts as read."""

    def __init__(self, value: Any, path: str, unread: set[str]) -> None:
        self.value, self.path, self.unread = value, path, unread

    def __getitem__(self, key: Any) -> Any:
        found, path = self.value[key], f"{self.path}/{key}"
        if isinstance(found, dict | list):
            return Part(found, path, self.unread)
        self.unread.discard(path)
        return found

    def __iter__(self) -> Iterator[Any]:
        """The members of a list, the names of an object."""
        if isinstance(self.value, dict):
            return iter(self.value)
        return iter([self[at] for at in range(len(self.value))])

    def __len__(self) -> int:
        return len(self.value)

    def __contains__(self, key: object) -> bool:
        return key in self.value

    def get(self, key: str) -> Any:
        return self[key] if key in self.value else None

    def data(self, *names: Any) -> Any:
        """One value as bytes, or several."""
        found = [bytes.fromhex(self[name]) for name in names]
        return found[0] if len(found) == 1 else found

    def all_data(self) -> list[bytes]:
        """A list of values as bytes."""
        return [bytes.fromhex(each) for each in self]


def _leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, f"{path}/{name}")
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _leaves(each, f"{path}/{at}")
    else:
        yield path


def read(name: str) -> Part:
    value = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    leaves = {path for path in _leaves(value, name) if path.rpartition("/")[2] not in TOLD}
    return Part(value, name, leaves)
