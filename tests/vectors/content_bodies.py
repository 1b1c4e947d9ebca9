"""Bodies of contents for contents.json: of what own devices and members of groups tell each other, and bodies that are refused.

`generate_contents.py` writes them into the file.
"""

import hashlib
from typing import Any, Final

import msgspec

from client import profiles
from client.act_bodies import DeleteBody, EditBody, ReactionBody, ReceiptBody
from client.archive.giving import Gift, HistoryKeysBody
from client.contact_tokens import ContactToken
from client.contents import ContentType, FilePointer, Text, decode_body, encode_body
from client.devices.copies import Copy
from client.devices.shared_items import SharedItems
from client.groups.bodies import AskBody, ChainBody, CommitBody, SecretsBody, WelcomeBody
from client.groups.invitations import InvitationBody, JoinBody
from client.groups.member_tokens import TokenPair, TokensBody
from client.groups.requests import RequestBody
from client.passing_contents import PresenceBody, TypingBody
from client.resends import ResendBody
from client.store.shared import Item
from client.transparency.evidence import ManifestEvidence
from crypto.errors import CryptoError
from crypto.group_epoch import EpochHandOut
from crypto.keys import SigningKeyPair
from crypto.sender_chains import ChainHandOut
from crypto.transparency import Gossip, SignedHead, head_body

TIME_MS = 1_764_000_000_000

SHAPES: Final[dict[int, type[msgspec.Struct]]] = {
    ContentType.TEXT: Text,
    ContentType.FILE: FilePointer,
    ContentType.COPY: Copy,
    ContentType.SHARED_ITEMS: SharedItems,
    ContentType.HISTORY_KEYS: HistoryKeysBody,
    ContentType.REACTION: ReactionBody,
    ContentType.EDIT: EditBody,
    ContentType.DELETE: DeleteBody,
    ContentType.RECEIPT: ReceiptBody,
    ContentType.TYPING: TypingBody,
    ContentType.PRESENCE: PresenceBody,
    ContentType.GROUP_INVITATION: InvitationBody,
    ContentType.GROUP_JOIN: JoinBody,
    ContentType.GROUP_WELCOME: WelcomeBody,
    ContentType.GROUP_SECRETS: SecretsBody,
    ContentType.GROUP_CHAIN: ChainBody,
    ContentType.GROUP_REQUEST: RequestBody,
    ContentType.GROUP_TOKENS: TokensBody,
    ContentType.GROUP_ASK: AskBody,
    ContentType.GROUP_COMMIT: CommitBody,
    ContentType.CONTACT_TOKEN: ContactToken,
    ContentType.RESEND: ResendBody,
    ContentType.PROFILE_KEY: profiles.ProfileKey,
    ContentType.MANIFEST_EVIDENCE: ManifestEvidence,
}
"""What reads the body of each type; that of an `empty` one is nil."""


def seed(name: str, length: int = 32) -> bytes:
    """`length` ≤ 32 bytes that stand for randomness."""
    return hashlib.sha256(f"tokenim content vectors, {name}".encode()).digest()[:length]


GROUP_ID = seed("group")
SECRET_HAND_OUT = EpochHandOut(GROUP_ID, 3, 0, seed("cut"), seed("secret"))
CHAIN_HAND_OUT = ChainHandOut(
    GROUP_ID,
    3,
    seed("cut"),
    seed("chain", 12),
    0,
    seed("chain key"),
    SigningKeyPair.from_seed(seed("s")).public,
)
BLOB = FilePointer(
    seed("state blob"), seed("state key"), 250_000, seed("state sha"), "state", "application/x"
)


def gossip(one: bytes, other: bytes) -> list[tuple[str, bytes]]:
    """Both versions that are held, without a head and with one of an empty log."""
    relay = SigningKeyPair.from_seed(seed("relay"))
    body = head_body(seed("log"), 0, hashlib.sha256(b"").digest(), TIME_MS)
    head = SignedHead.parse(relay.sign(body) + body)
    return [
        ("gossip without a head", Gossip(3, one, 1, other, None).encode()),
        ("gossip with a head", Gossip(3, one, 1, other, head).encode()),
    ]


def of_own_devices(other: bytes, content: bytes) -> list[tuple[str, ContentType, bytes]]:
    """What devices of one account tell each other."""
    item = Item("own/handle", msgspec.msgpack.encode("alice"), TIME_MS, seed("device", 16))
    gifts = [Gift(seed(name, 16), 7, name.encode() * 250) for name in ("laptop", "tablet")]
    bodies: list[tuple[str, ContentType, msgspec.Struct]] = [
        ("copy", ContentType.COPY, Copy(other, content)),
        ("copy of what the relay refused", ContentType.COPY, Copy(other, content, "not_allowed")),
        ("shared items", ContentType.SHARED_ITEMS, SharedItems([item], is_all=True)),
        ("question for all shared items", ContentType.SHARED_ITEMS, SharedItems([], asks=True)),
        ("history keys", ContentType.HISTORY_KEYS, HistoryKeysBody(gifts, seed("newest", 8))),
        ("history keys for nobody", ContentType.HISTORY_KEYS, HistoryKeysBody([])),
    ]
    return [(name, kind, encode_body(body)) for name, kind, body in bodies]


def of_contacts(account: bytes) -> list[tuple[str, ContentType, bytes]]:
    """What contacts tell each other unseen."""
    told = ManifestEvidence(account, 3, seed("manifest"), b"a signed manifest")
    bodies: list[tuple[str, ContentType, msgspec.Struct]] = [
        ("contact token", ContentType.CONTACT_TOKEN, ContactToken(seed("contact token", 16))),
        ("profile key", ContentType.PROFILE_KEY, profiles.ProfileKey(seed("profile key"), 4)),
        (
            "question for a manifest",
            ContentType.MANIFEST_EVIDENCE,
            msgspec.structs.replace(told, manifest=b""),
        ),
        ("manifest", ContentType.MANIFEST_EVIDENCE, told),
    ]
    return [(name, kind, encode_body(body)) for name, kind, body in bodies]


def of_groups(account: bytes) -> list[tuple[str, ContentType, bytes]]:
    """What travels in sessions for a group."""
    secret, token = seed("invitation", 16), seed("group token", 16)
    told, chain = SECRET_HAND_OUT.encode(), CHAIN_HAND_OUT.encode()
    pairs = (TokenPair(account, token),)
    bodies: list[tuple[str, ContentType, msgspec.Struct]] = [
        ("group invitation", ContentType.GROUP_INVITATION, InvitationBody(GROUP_ID, secret, "Climbers")),
        ("group join", ContentType.GROUP_JOIN, JoinBody(GROUP_ID, secret, token, 3, 2**32 - 1)),
        ("group welcome", ContentType.GROUP_WELCOME, WelcomeBody(told, seed("read"), 5, b"a state")),
        ("group welcome by a blob", ContentType.GROUP_WELCOME, WelcomeBody(told, seed("read"), 5, b"", BLOB)),
        ("group secrets", ContentType.GROUP_SECRETS, SecretsBody((told, told))),
        ("group chain", ContentType.GROUP_CHAIN, ChainBody(chain)),
        ("group chain with a token", ContentType.GROUP_CHAIN, ChainBody(chain, token)),
        ("group request", ContentType.GROUP_REQUEST, RequestBody(bytes(64) + b"a request")),
        ("group tokens", ContentType.GROUP_TOKENS, TokensBody(GROUP_ID, pairs)),
        ("group ask for secrets", ContentType.GROUP_ASK, AskBody(GROUP_ID, 1, 3)),
        ("group ask for a chain", ContentType.GROUP_ASK, AskBody(GROUP_ID, 2, 0, seed("chain", 12), token)),
        ("group commit", ContentType.GROUP_COMMIT, CommitBody(GROUP_ID, 5)),
        ("group commit for who is out", ContentType.GROUP_COMMIT, CommitBody(GROUP_ID, 5, b"an entry")),
    ]
    return [(name, kind, encode_body(body)) for name, kind, body in bodies]


def must_fail() -> list[dict[str, Any]]:
    """Bodies with one value that the table does not allow."""
    reference = [bytes(32), bytes(16), bytes(32)]
    told, chain = SECRET_HAND_OUT.encode(), CHAIN_HAND_OUT.encode()
    blob = [bytes(32), bytes(32), 5, bytes(32), "name", "image/png"]
    wrong: list[tuple[str, int, Any]] = [
        ("a text that is bytes", 1, [b"hello"]),
        ("a text that is no array", 1, "hello"),
        ("an answer to a reference of two parts", 1, ["yes", reference[:2]]),
        ("a file whose blob id has 31 bytes", 2, [bytes(31), *blob[1:]]),
        ("a file of a negative length", 2, [*blob[:2], -1, *blob[3:]]),
        ("a file without a name", 2, [*blob[:4], "", blob[5]]),
        ("a copy to an account of 31 bytes", 3, [bytes(31), b"content", ""]),
        ("a copy whose code is too long", 3, [bytes(32), b"content", "x" * 65]),
        ("an item without a key", 4, [[["", b"", 0, bytes(16)]], False, False]),
        ("an item of a negative time", 4, [[["own/handle", b"", -1, bytes(16)]], False, False]),
        ("shared items whose flag is a number", 4, [[], 1, False]),
        ("history keys for a device of 15 bytes", 5, [[[bytes(15), 0, bytes(1_392)]]]),
        ("history keys by a sealing key of a negative id", 5, [[[bytes(16), -1, bytes(1_392)]]]),
        ("history keys that are too short to be sealed", 5, [[[bytes(16), 0, bytes(1_391)]]]),
        ("history keys for 17 devices", 5, [[[bytes(16), 0, bytes(1_392)]] * 17]),
        ("a reaction of 33 characters", 10, [reference, "x" * 33]),
        ("a reaction to nothing", 10, [None, "x"]),
        ("an edit whose text is bytes", 11, [reference, b"hello"]),
        ("a deletion of a short message id", 12, [[bytes(32), bytes(15), bytes(32)]]),
        ("a receipt for 257 messages", 13, [bytes(32), [[bytes(16), bytes(32)]] * 257, []]),
        ("typing in a conversation of 31 bytes", 14, [bytes(31), True]),
        ("presence that is a number", 15, [1]),
        ("an invitation with a secret of 15 bytes", 20, [bytes(32), bytes(15), "name"]),
        ("an invitation with a name of 65 characters", 20, [bytes(32), bytes(16), "x" * 65]),
        ("a join with manifest version 0", 21, [bytes(32), bytes(16), bytes(16), 0, 3]),
        ("a join that wants more rights than 32", 21, [bytes(32), bytes(16), bytes(16), 1, 2**32]),
        ("a welcome with a hand-out of 140 bytes", 22, [told[:-1], bytes(32), 0, b"", None]),
        ("a welcome with a negative index", 22, [told, bytes(32), -1, b"", None]),
        ("no secrets", 23, [[]]),
        ("a chain of 152 bytes", 24, [chain[:-1], b""]),
        ("a chain with a token of 17 bytes", 24, [chain, bytes(17)]),
        ("a request without a signature", 25, [bytes(63)]),
        ("no tokens", 26, [bytes(32), []]),
        ("a token of 15 bytes", 26, [bytes(32), [[bytes(32), bytes(15)]]]),
        ("a question that lacks 256", 27, [bytes(32), 256, 0, b"", b""]),
        ("a question for a chain of 13 bytes", 27, [bytes(32), 2, 0, bytes(13), b""]),
        ("a commit at a negative index", 28, [bytes(32), -1, b""]),
        ("a contact token of 17 bytes", 30, [bytes(17)]),
        ("a question for content 0", 31, [bytes(16), bytes(32), [0], []]),
        ("a question for 257 contents", 31, [bytes(16), bytes(32), [*range(1, 258)], []]),
        ("evidence of version 0", 32, [bytes(32), 0, bytes(32), b""]),
        ("a profile key of version 0", 33, [bytes(32), 0]),
        ("a profile key of 31 bytes", 33, [bytes(31), 1]),
    ]
    return [
        {"about": about, "type": kind, "body": body.hex(), "error": _failure_of(kind, body)}
        for about, kind, body in ((about, kind, msgspec.msgpack.encode(body)) for about, kind, body in wrong)
    ]


def _failure_of(kind: int, body: bytes) -> str:
    try:
        decode_body(SHAPES[kind], body)  # type: ignore[type-var]  # any of them
    except CryptoError as error:
        return type(error).__name__
    raise AssertionError(f"a body of type {kind} was taken: {body.hex()}")
