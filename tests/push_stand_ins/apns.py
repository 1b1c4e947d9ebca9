"""Apple's stand-in with an account there: a key of a team, and the app that is woken."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from relay.adapters.push.apns import Apns, ApnsAccount
from relay.ports.clock import Clock
from tests.certificates import Authority
from tests.push_stand_ins.stand_in import StandIn, standing_in, trap

PEM = serialization.Encoding.PEM


@dataclass
class Apple:
    """The stand-in, whom it trusts, and whom it may not reach."""

    stand_in: StandIn
    authority: Authority
    account: ApnsAccount
    came_to_trap: list[str]

    def pusher(self, clock: Clock, **changes: Any) -> Apns:
        """The adapter under test, by this account or one that differs from it."""
        return Apns(replace(self.account, **changes), clock=clock, trust=self.authority.trusting())


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    """As Apple gives it out, the owner's alone."""
    path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    path.chmod(0o600)
    return path


@asynccontextmanager
async def open_apple(folder: Path) -> AsyncIterator[Apple]:
    """A stand-in that listens, and an account whose files are in `folder`."""
    authority, key = Authority(), ec.generate_private_key(ec.SECP256R1())
    certificate, private = authority.pair().write(folder)
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    names = {"keyId": "ABC123DEFG", "teamId": "TEAM123456", "topic": "org.example.chat"}
    async with trap() as (port, came):
        given = {
            "certificate": str(certificate),
            "key": str(private),
            "publicKey": public,
            "redirect": f"https://127.0.0.1:{port}/3/device/0",
            **names,
        }
        async with standing_in("apns_fake.js", given) as stand_in:
            account = ApnsAccount(
                key_file=write_key(folder / "AuthKey.p8", key),
                key_id=names["keyId"],
                team_id=names["teamId"],
                topic=names["topic"],
                url=f"https://127.0.0.1:{stand_in.port}",
                push_type="alert",
            )
            yield Apple(stand_in, authority, account, came)
