"""Chapter Transparency."""

from typing import Any

from client.conformance.device import Device
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base64, transcript, u64

from .suite import SUITE


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def root_by_inclusion(leaf: bytes, index: int, size: int, hashes: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, section 2.1.3.2); raises Failed for one of another length."""
    place, last, found = index, size - 1, sha256(b"\x00" + leaf)
    for sibling in hashes:
        if last == 0:
            raise Failed("an inclusion proof has hashes too many")
        if place % 2 or place == last:
            found = _node(sibling, found)
            while not place % 2 and place:
                place, last = place // 2, last // 2
        else:
            found = _node(found, sibling)
        place, last = place // 2, last // 2
    if last:
        raise Failed("an inclusion proof has hashes too few")
    return found


def roots_by_consistency(
    first: int, second: int, first_root: bytes, hashes: list[bytes]
) -> tuple[bytes, bytes]:
    """The roots of both sizes that a consistency proof leads to (RFC 9162, section 2.1.4.2)."""
    path = list(hashes)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    place, last = first - 1, second - 1
    while place % 2:
        place, last = place // 2, last // 2
    if not path:
        raise Failed("a consistency proof has hashes too few")
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise Failed("a consistency proof has hashes too many")
        if place % 2 or place == last:
            old, new = _node(sibling, old), _node(sibling, new)
            while not place % 2 and place:
                place, last = place // 2, last // 2
        else:
            new = _node(new, sibling)
        place, last = place // 2, last // 2
    return old, new


def _checked(relay: Relay, leaf: bytes, inclusion: dict[str, Any]) -> None:
    _, size, root = relay.signed_head(from_base64(inclusion["head"]))
    hashes = [from_base64(one) for one in inclusion["hashes"]]
    if root_by_inclusion(leaf, inclusion["index"], size, hashes) != root:
        raise Failed("the inclusion proof does not lead to the root of its head")


async def _manifests(relay: Relay, device: Device) -> dict[str, Any]:
    path = f"/v1/accounts/{device.account}/manifests?from=1"
    told: dict[str, Any] = (
        (await relay.get(path, **{"TokenIM-Delivery-Token": to_base64(device.token)})).must(200).json
    )
    return told


@SUITE.case("transparency-manifest-included")
async def included(relay: Relay) -> None:
    """Every answer with manifests proves that the newest one is in the log, under a head that the pinned key signed."""
    device = await relay.member()
    told = await _manifests(relay, device)
    leaf = transcript("tokenim/v1 log leaf", b"\x01", device.account_id, u64(1), sha256(device.body))
    _checked(relay, leaf, told["inclusion"])
    await device.advance(device.entry(), device.beside().entry(flags=0))
    leaf = transcript("tokenim/v1 log leaf", b"\x01", device.account_id, u64(2), sha256(device.body))
    _checked(relay, leaf, (await _manifests(relay, device))["inclusion"])


@SUITE.case("transparency-handle-included")
async def handle_included(relay: Relay) -> None:
    """The answer for a handle proves that the log has the binding."""
    owner, asker = await relay.member(), await relay.member()
    name = "t" + owner.account[:12]
    body = {"handle": name, "public_token": to_base64(owner.token)}
    (await owner.ask("PUT", "/v1/handle", body)).must(204)
    told = (await asker.ask("GET", f"/v1/handles/{name}")).must(200).json
    salted = sha256(transcript("tokenim/v1 log handle", from_base64(told["salt"]), name.encode()))
    bound = sha256(owner.account_id)
    _checked(
        relay,
        transcript("tokenim/v1 log leaf", b"\x02", salted, u64(told["version"]), bound),
        told["inclusion"],
    )


@SUITE.case("transparency-consistent")
async def consistent(relay: Relay) -> None:
    """The log of a later head begins with the log of an earlier one, and the proof shows it."""
    device = await relay.member()
    old_log, old_size, old_root = relay.signed_head(
        from_base64((await _manifests(relay, device))["inclusion"]["head"])
    )
    later = await relay.member()
    for _ in range(3):
        later = await relay.member()
    log, size, root = relay.signed_head(from_base64((await _manifests(relay, later))["inclusion"]["head"]))
    if log != old_log or size < old_size + 4:
        raise Failed(f"expected the same log with at least 4 leaves more, got {size} after {old_size}")
    path = f"/v1/transparency/consistency?from={old_size}&to={size}"
    hashes = [from_base64(one) for one in (await relay.get(path)).must(200).json["hashes"]]
    if roots_by_consistency(old_size, size, old_root, hashes) != (old_root, root):
        raise Failed("the consistency proof does not lead to both roots")


@SUITE.case("transparency-head")
async def head(relay: Relay) -> None:
    """The newest head is told to everybody, and signed."""
    await relay.member()
    _, size, _ = relay.signed_head(
        from_base64((await relay.get("/v1/transparency/head")).must(200).json["head"])
    )
    if size < 1:
        raise Failed("expected a leaf for the account that was just made")
