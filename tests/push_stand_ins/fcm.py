"""Google's stand-in with a service account there."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from relay.adapters.push.fcm import Fcm, FcmAccount
from relay.ports.clock import Clock
from tests.push_stand_ins.stand_in import StandIn, standing_in, trap

PEM = serialization.Encoding.PEM
EMAIL, PROJECT, KEY_ID = "relay@chat-1.iam.gserviceaccount.example", "chat-1", "0123abcd"


@dataclass
class Google:
    """The stand-in, and whom it may not lead to."""

    stand_in: StandIn
    account: FcmAccount
    came_to_trap: list[str]

    def pusher(self, clock: Clock, **changes: Any) -> Fcm:
        """The adapter under test, by this account or one that differs from it."""
        return Fcm(replace(self.account, **changes), clock=clock)


@cache
def rsa_key(name: str = "own") -> rsa.RSAPrivateKey:
    """One for each name; making one takes long."""
    return rsa.generate_private_key(65_537, 2_048)


def write_account(path: Path, key: rsa.RSAPrivateKey, **changes: str) -> Path:
    """As Google gives it out, the owner's alone."""
    pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    fields = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": KEY_ID,
        "private_key": pem,
        "client_email": EMAIL,
        "client_id": "1",
        "universe_domain": "googleapis.com",
    }
    path.write_text(json.dumps({**fields, **changes}))
    path.chmod(0o600)
    return path


@asynccontextmanager
async def open_google(folder: Path) -> AsyncIterator[Google]:
    """A stand-in that listens, and an account whose file is in `folder`."""
    key = rsa_key()
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    async with trap() as (port, came):
        given = {
            "publicKey": public,
            "keyId": KEY_ID,
            "email": EMAIL,
            "project": PROJECT,
            "redirect": f"http://127.0.0.1:{port}/",
        }
        async with standing_in("fcm_fake.js", given) as stand_in:
            url = f"http://127.0.0.1:{stand_in.port}"
            file = write_account(folder / "service-account.json", key)
            yield Google(stand_in, FcmAccount(file, url, f"{url}/token"), came)
