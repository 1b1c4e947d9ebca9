"""Another way to somebody whose delivery token the relay takes no more: a newer token, one of a lower class, or the directory."""

from collections.abc import Mapping, Sequence

from relay.wire.frames import Outcome
from relay.wire.links import encode_id

from .errors import Refused, UnknownRecipient
from .message import Warned
from .recipients import is_handle, look_up
from .store import notices
from .store.database import Database, Transaction
from .store.peers import Peer, drop_token, find_peer
from .submit_answers import Answer
from .transport import Transport


async def refused_for_good(
    transport: Transport,
    database: Database,
    answers: Sequence[Answer],
    brought: Mapping[int, tuple[bytes, int]],
) -> list[Answer]:
    """The answers without those for whose account there is another way: such rows go again.

    `brought` has the token that each row (by its number) was submitted with. What a group does about it is its own matter.
    """
    rest = []
    for one in answers:
        if Outcome.NOT_ALLOWED in one.outcomes and one.row.group is None:
            token, _ = brought[one.row.n]
            if await find_another_way(transport, database, one.row.account_id, token):
                continue
        rest.append(one)
    return rest


async def find_another_way(
    transport: Transport, database: Database, account_id: bytes, refused: bytes
) -> bool:
    """Whether the account can be reached by another token than the 16 B one that was refused; the user is told of the loss.

    Raises RelayUnreachable, and Refused if the relay has no time for the question.
    """

    def drop(tx: Transaction) -> Peer | None:
        was_theirs = drop_token(tx, account_id, refused)
        peer = find_peer(tx, account_id)
        if peer is not None and peer.token is not None and was_theirs:
            _tell(tx, peer)
        return peer

    peer = await database.run(drop)
    if peer is None:
        return False
    if peer.token is not None and peer.token != refused:
        return True
    name = peer.handle or peer.claimed or ""
    if not is_handle(name):
        return False
    try:
        found = await look_up(transport, database, name)
    except UnknownRecipient:
        return False
    except Refused as error:
        if error.retryable:
            raise
        return False
    if found.account_id != account_id or found.token in (None, refused):
        await database.run(lambda tx: drop_token(tx, account_id, refused))
        return False
    await database.run(lambda tx: _tell(tx, found))
    return True


def _tell(tx: Transaction, peer: Peer) -> None:
    detail = (
        f"the way to write that {peer.name} gave is no good any more: messages go as those of strangers do,"
        " until they write"
    )
    notices.tell(tx, Warned("token_lost", detail, encode_id(peer.account_id)))
