"""Finds texts and ids in bytes, however they were encoded on the way there. Knows nothing of a relay's files.

Each needle is looked for raw, in JSON's escapes, as hex, base32, base64 and UTF-16, at every alignment. An occurrence
of a pattern of 15 bytes or more covers one whole 8-byte word of the haystack, wherever it begins; so the haystack is
read word by word against a table of the words that the patterns can cover it with, and only hits are compared in full.
"""

import base64
import binascii
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

MIN_NEEDLE_BYTES = 16
_WORD = 8
_CHUNK = 8 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A needle that should not be there: which, how encoded, and where."""

    needle: str
    encoding: str
    where: str
    offset: int


def _inside(encode: Callable[[bytes], bytes], needle: bytes, lead: int, bits: int) -> bytes:
    """The characters of an encoding that depend on the needle alone when `lead` bytes stand before it."""
    whole = encode(bytes(lead) + needle)
    return whole[-(-lead * 8 // bits) : (lead + len(needle)) * 8 // bits]


def patterns_of(needle: bytes) -> Iterator[tuple[str, bytes]]:
    """(name of the encoding, bytes to look for), for every encoding and alignment."""
    yield "raw", needle
    yield "hex", binascii.hexlify(needle)
    yield "HEX", binascii.hexlify(needle).upper()
    for lead in range(5):
        yield "BASE32", _inside(base64.b32encode, needle, lead, 5)
        yield "base32", _inside(base64.b32encode, needle, lead, 5).lower()
    for lead in range(3):
        yield "base64", _inside(base64.b64encode, needle, lead, 6)
        yield "base64url", _inside(base64.urlsafe_b64encode, needle, lead, 6)
    try:
        texts = [needle.decode()]
    except UnicodeDecodeError:
        texts = [needle.hex(), base64.b32encode(needle).decode().rstrip("=").lower()]
    else:
        yield "json", json.dumps(texts[0])[1:-1].encode()
    for text in texts:
        yield "utf-16-le", text.encode("utf-16-le")
        yield "utf-16-be", text.encode("utf-16-be")


class LeakScanner:
    """Looks for all of its needles in one pass."""

    def __init__(self, needles: Mapping[str, bytes]) -> None:
        """Each needle by its name; raises ValueError for one under MIN_NEEDLE_BYTES (chance would find it)."""
        self._words: dict[int, list[tuple[str, str, bytes, int]]] = {}
        self._longest = 0
        for name, needle in needles.items():
            if len(needle) < MIN_NEEDLE_BYTES:
                raise ValueError(f"{name} has {len(needle)} bytes, a needle has at least {MIN_NEEDLE_BYTES}")
            for encoding, pattern in dict.fromkeys(patterns_of(needle)):
                self._longest = max(self._longest, len(pattern))
                for offset in range(_WORD):
                    word = int.from_bytes(pattern[offset : offset + _WORD], sys.byteorder)
                    self._words.setdefault(word, []).append((name, encoding, pattern, offset))

    def scan(self, data: bytes, where: str) -> list[Finding]:
        """The first occurrence of each needle in each encoding."""
        found: dict[tuple[str, str], Finding] = {}
        words = memoryview(data + bytes(-len(data) % _WORD)).cast("Q")
        for word in {word for word in words if word in self._words}:
            as_bytes = word.to_bytes(_WORD, sys.byteorder)
            at = data.find(as_bytes)
            while at >= 0:
                if at % _WORD == 0:
                    for name, encoding, pattern, offset in self._words[word]:
                        start = at - offset
                        if start >= 0 and data.startswith(pattern, start):
                            found.setdefault((name, encoding), Finding(name, encoding, where, start))
                at = data.find(as_bytes, at + 1)
        return sorted(found.values(), key=lambda finding: finding.offset)

    def scan_file(self, path: Path, where: str | None = None) -> list[Finding]:
        """The whole file, whatever its size, a piece at a time."""
        findings: list[Finding] = []
        overlap = -(-self._longest // _WORD) * _WORD
        with path.open("rb") as file:
            before, position = b"", 0
            while piece := file.read(_CHUNK):
                findings += (
                    replace(hit, offset=position - len(before) + hit.offset)
                    for hit in self.scan(before + piece, where or path.name)
                )
                position += len(piece)
                before = (before + piece)[-overlap:]
        return findings
