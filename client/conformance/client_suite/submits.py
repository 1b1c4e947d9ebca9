"""What becomes of a submit at the scripted relay, whichever way it came: who may write, the work, the bucket, stored once."""

from client.conformance.report import Failed
from client.conformance.wire import leading_zero_bits, sha256, transcript

from .house import Account, House, Submit
from .limits import WORK_BITS

_DURABLE = 1


def is_bucket(size: int) -> bool:
    """Whether an envelope may have this size (Envelopes and padding)."""
    if size <= 1024:
        return size in (256, 512, 1024)
    exponent = size.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return size & mask == 0 and size <= 262_144


def take(house: House, sent: Submit) -> list[int]:
    """The outcomes, in the order of the targets; raises Failed for what is refused as a whole."""
    house.submits.append(sent)
    if not house.script.anonymous_submit and sent.asker is None:
        raise Failed("an anonymous submit, where the document says anonymous_submit: false")
    ciphertexts, targets, grants = sent.fields[5:8]
    if any(target[1] >= len(ciphertexts) or target[2] >= len(grants) for target in targets):
        raise Failed("a target of a submit points at a ciphertext or grant that there is not")
    if (sent.fields[2] == _DURABLE) != bool(sent.fields[4]):
        raise Failed("ttl_seconds is 0 for an ephemeral envelope, and for no other")
    return [_outcome(house, sent, *target) for target in targets]


def behind(house: House, sent: Submit) -> list[tuple[bytes, int]]:
    """The granted accounts whose manifest is newer than the sender says, with its version."""
    found = []
    for owner, _token, version in sent.fields[7]:
        account = house.accounts.get(owner)
        if account is not None and version < account.manifest.version:
            found.append((owner, account.manifest.version))
    return found


def _outcome(house: House, sent: Submit, device_id: bytes, ciphertext_at: int, grant_at: int) -> int:
    owner, token, _version = sent.fields[7][grant_at]
    account = house.accounts.get(owner)
    if account is None or all(one.device_id != device_id for one in account.manifest.devices):
        house.breach("a submit to a device that no manifest of its account lists")
        return 3
    if sent.fields[2] == _DURABLE and owner in house.closed_to:
        house.breach("an envelope to an account whose keys do not verify")
    if sent.asker is not None and sent.asker != owner and house.script.anonymous_submit:
        house.breach("a submit to somebody else on an authenticated connection")
    by = house.token_class(account, token)
    if by is None and not (sent.asker == owner and not token):
        house.breach("a submit with a token that the account has not")
        return 4
    if by == "public" and not _has_work(sent, grant_at, owner, token):
        house.breach("a submit by a public token without the work that the document asks for")
        return 8
    data = bytes(sent.fields[5][ciphertext_at])
    if not is_bucket(len(data)):
        house.breach(f"an envelope of {len(data)} B: no bucket has this size")
    outcome = house.script.outcome(sent)
    if outcome != 1:
        return outcome
    return _store(house, account, sent, data)


def _store(house: House, account: Account, sent: Submit, data: bytes) -> int:
    box = account.mailbox
    if sent.fields[2] != _DURABLE:
        return 6
    known = box.stored.get(sent.envelope_id)
    if known is not None:
        if known != sha256(data):
            house.breach("another ciphertext under an envelope id that was used")
        return 1 if known == sha256(data) else 5
    box.stored[sent.envelope_id] = sha256(data)
    house.script.put(box, sent.envelope_id, data)
    return 1


def _has_work(sent: Submit, grant_at: int, owner: bytes, token: bytes) -> bool:
    works = sent.fields[8] if len(sent.fields) > 8 else []
    work = works[grant_at] if grant_at < len(works) else b""
    signed = transcript("tokenim/v1 work", sent.envelope_id, owner, sha256(token), work)
    return len(work) == 8 and leading_zero_bits(sha256(signed)) >= WORK_BITS
