"""Adds the present version to group_snapshots.json; older ones stay as they were.

python -m tests.vectors.generate_group_snapshots
"""

import json
from pathlib import Path
from typing import Any

from crypto.group_snapshots import SNAPSHOT_VERSION, encode_held, encode_sender, encode_sending, encode_view
from tests.group_people import group_of

PATH = Path(__file__).with_name("group_snapshots.json")


def snapshots() -> dict[str, Any]:
    """What two members saved, and an envelope that the second opens."""
    log, (ann, bob) = group_of("ann", "bob")
    ann.hand_to([bob])
    ann.commit(log, [], cut=True)
    ann.spread([bob])
    bob.catch_up(log)
    ann.hand_to([bob])
    late = ann.send(b"late")
    bob.open(ann.send(b"opened"))
    bob.held = bob.held.add(late, bob.now_ms)
    return {
        "version": SNAPSHOT_VERSION,
        "view": encode_view(bob.known).hex(),
        "sender": encode_sender(bob.senders[ann.device.device_id]).hex(),
        "held": encode_held(bob.held).hex(),
        "sending": encode_sending(ann.fresh_chain()).hex(),
        "manifest": ann.person.manifest.newest.encode().hex(),
        "envelope": late.hex(),
        "plaintext": b"late".hex(),
        "now_ms": bob.now_ms,
    }


if __name__ == "__main__":
    known = json.loads(PATH.read_text()) if PATH.exists() else {"versions": []}
    older = [each for each in known["versions"] if each["version"] != SNAPSHOT_VERSION]
    about = "Saved groups of every version there was; made by tests/vectors/generate_group_snapshots.py"
    PATH.write_text(json.dumps({"about": about, "versions": [*older, snapshots()]}, indent=1) + "\n")
