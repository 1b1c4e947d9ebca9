"""Print the packages of a lock file, with their hashes, as a CycloneDX 1.6 bill of materials in JSON.

Usage: python .ci/sbom.py requirements.lock. Knows the lock file alone: no network, no environment. The
same lock gives the same bytes but for the serial number and the time that the format itself adds.
"""

import re
import sys
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s\\;]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill_of(lock: str) -> Bom:
    """The bill of materials of a lock file's text; one component for each pinned name."""
    pins = list(PINNED.finditer(lock))
    ends = [pin.start() for pin in pins[1:]] + [len(lock)]
    product = Component(name="tokenim", type=ComponentType.APPLICATION, bom_ref="tokenim")
    bom = Bom()
    bom.metadata.component = product
    parts = []
    for pin, end in zip(pins, ends, strict=True):
        name, version = pin["name"], pin["version"]
        purl = PackageURL("pypi", name=name, version=version)
        hashes = [
            HashType(alg=HashAlgorithm.SHA_256, content=digest)
            for digest in HASH.findall(lock, pin.end(), end)
        ]
        parts.append(Component(name=name, version=version, purl=purl, hashes=hashes, bom_ref=str(purl)))
    bom.components.update(parts)
    bom.register_dependency(product, parts)
    return bom


if __name__ == "__main__":
    bom = bill_of(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")
