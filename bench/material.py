"""What the demonstration sends: every line of the project's own documents, and a picture made from a seed."""

import struct
import zlib
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
LEAST_LINES = 1_000
PICTURE_WIDTH, PICTURE_HEIGHT = 768, 640


def real_text() -> list[str]:
    """Every line that is not empty of the licence and the documents; more than LEAST_LINES."""
    documents = [ROOT / "LICENSE", *sorted(ROOT.glob("*.md"))]
    documents += sorted(path for folder in ("docs", "tests") for path in (ROOT / folder).rglob("*.md"))
    lines = [
        line for path in documents for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    if len(lines) <= LEAST_LINES:
        raise SystemExit(f"only {len(lines)} lines of text in {ROOT}: run this in a whole checkout")
    return lines


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(seed: int) -> bytes:
    """A PNG (W3C PNG, third edition) of coloured noise over a gradient: over 1 MB, since noise does not compress."""
    random = Random(seed)
    rows = []
    for y in range(PICTURE_HEIGHT):
        noise = random.randbytes(PICTURE_WIDTH * 3)
        shade = y * 128 // PICTURE_HEIGHT
        rows.append(b"\x00" + bytes((value >> 1) + shade for value in noise))
    header = struct.pack(">IIBBBBB", PICTURE_WIDTH, PICTURE_HEIGHT, 8, 2, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(b"".join(rows), 1)),
            _chunk(b"IEND", b""),
        )
    )
