"""The device lists that this client verified, looked up one by one: what crypto judges commits and senders by."""

from collections.abc import Iterator, Mapping

from client.account import load_account
from client.store.database import Transaction
from client.store.peers import find_peer
from crypto.manifest_chain import VerifiedManifest


class KnownLists(Mapping[bytes, VerifiedManifest]):
    """Account → its newest device list known here. `asked` is the account that was looked up last."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.asked = b""

    def __getitem__(self, account_id: bytes) -> VerifiedManifest:
        self.asked = account_id
        peer = find_peer(self._tx, account_id)
        if peer is None or peer.chain is None:
            raise KeyError(account_id)
        return peer.chain

    def __iter__(self) -> Iterator[bytes]:
        yield load_account(self._tx).account_id
        for (account_id,) in self._tx.all("SELECT account_id FROM peers WHERE chain IS NOT NULL"):
            yield account_id

    def __len__(self) -> int:
        return sum(1 for _ in self)
