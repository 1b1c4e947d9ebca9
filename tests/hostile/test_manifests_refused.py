"""Manifests that break one rule each: refused, and nothing is there afterwards (A7, A9, A13, E1)."""

import hashlib

import pytest
from nacl.signing import SigningKey

from relay.wire.manifests import SignedManifest, account_id_of
from relay.wire.transcripts import DEVICE_LABEL, MANIFEST_LABEL, transcript
from tests.raw_device import RawDevice, told
from tests.running_relay import World, open_world


@pytest.fixture
async def world():
    async with open_world() as opened:
        yield opened


async def assert_refused(world: World, device: RawDevice, signed: SignedManifest, *codes: str) -> None:
    """Registering with it fails, and made nothing: the good manifest registers under the same invite."""
    link = await world.relay.invite()
    before = await world.relay.services.store.accounts.accounts_count()
    device.made = [signed]
    answered = await device.register(link)
    assert answered.status in (400, 422), answered.body
    assert answered.code in (codes or ("manifest_invalid",))
    assert await world.relay.services.store.accounts.accounts_count() == before


def signed_by(key: SigningKey, body: bytes, signer: bytes = b"") -> SignedManifest:
    return SignedManifest(body, signer, key.sign(body).signature)


def body_of(root: bytes, devices: list[bytes], *, version: int = 1, previous: bytes | None = None) -> bytes:
    return transcript(MANIFEST_LABEL, root, version.to_bytes(8, "big"), previous, *devices)


async def test_e1_a_manifest_with_any_byte_changed_is_refused(world: World):
    device = world.device()
    good = device.manifest()
    link = await world.relay.invite()
    for position in range(len(good.body)):
        changed = bytearray(good.body)
        changed[position] ^= 1 << (position % 8)
        device.made = [SignedManifest(bytes(changed), b"", good.signature)]
        assert (await device.register(link)).code == "manifest_invalid", position
    for position in range(64):
        signature = bytearray(good.signature)
        signature[position] ^= 1
        device.made = [SignedManifest(good.body, b"", bytes(signature))]
        assert (await device.register(link)).code == "manifest_invalid", position
    for length in range(len(good.body)):
        device.made = [signed_by(device.root, good.body[:length])]
        assert (await device.register(link)).code in ("manifest_invalid", "malformed_request"), length
    assert await world.relay.services.store.accounts.accounts_count() == 0
    device.made = [good]
    assert (await device.register(link)).status == 201


async def test_bytes_behind_the_end_are_refused(world: World):
    device = world.device()
    for tail in (b"\x00", b"\x00" * 4, b"\x00\x00\x00\x01x"):
        await assert_refused(world, device, signed_by(device.root, device.manifest().body + tail))


@pytest.mark.proves("M-IDENT-04")
async def test_the_first_is_signed_by_the_root_key_and_has_version_1(world: World):
    device = world.device()
    root = bytes(device.root.verify_key)
    body = device.manifest().body
    await assert_refused(world, device, signed_by(device.key, body, device.device_id))
    await assert_refused(world, device, signed_by(device.key, body))
    await assert_refused(
        world, device, signed_by(device.root, body_of(root, [device.listed()], version=2, previous=bytes(32)))
    )
    await assert_refused(world, device, signed_by(device.root, body_of(root, [device.listed()], version=0)))
    await assert_refused(
        world, device, signed_by(device.root, body_of(root, [device.listed()], previous=bytes(32)))
    )


async def test_devices_are_1_to_16_in_order_with_keys_of_their_own(world: World):
    device = world.device()
    root = bytes(device.root.verify_key)
    others = sorted((world.device(of=device) for _ in range(17)), key=lambda one: one.device_id)
    fields = [one.listed() for one in others]
    for listed in (
        [],
        fields,
        [fields[1], fields[0]],
        [fields[0], fields[0]],
        [fields[0][:-1]],
        [fields[0] + b"\x00"],
    ):
        await assert_refused(world, device, signed_by(device.root, body_of(root, listed)))
    twin = world.device(of=device, key=device.key)
    await assert_refused(
        world, device, signed_by(device.root, body_of(root, sorted([device.listed(), twin.listed()])))
    )
    for flags in (8, 128):
        await assert_refused(world, device, signed_by(device.root, body_of(root, [device.listed(flags)])))


@pytest.mark.proves("M-IDENT-07")
@pytest.mark.parametrize("added_at_ms", [2**53, 2**63, 2**64 - 1])
async def test_a_device_of_a_time_that_no_json_number_holds_is_refused(world: World, added_at_ms: int):
    device = world.device()
    root, good = bytes(device.root.verify_key), device.listed()
    late = good[:81] + added_at_ms.to_bytes(8, "big") + good[89:]
    await assert_refused(world, device, signed_by(device.root, body_of(root, [late])))
    member = await world.member()
    field = member.listed()
    late = field[:81] + added_at_ms.to_bytes(8, "big") + field[89:]
    following = body_of(
        bytes(member.root.verify_key),
        [late],
        version=2,
        previous=hashlib.sha256(member.made[0].body).digest(),
    )
    wanted = {"manifest": told(signed_by(member.root, following))}
    answered = await member.call("POST", "/v1/accounts/self/manifests", wanted)
    assert (answered.status, answered.code) == (422, "manifest_invalid")
    assert (await member.call("GET", "/v1/accounts/self/devices")).status == 200


async def test_a_device_that_signed_for_another_account_is_not_taken(world: World):
    device, victim = world.device(), await world.member()
    foreign = victim.listed()
    await assert_refused(
        world, device, signed_by(device.root, body_of(bytes(device.root.verify_key), [foreign]))
    )


SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
]


@pytest.mark.parametrize("key", SMALL_ORDER, ids=lambda key: key.hex()[:8])
async def test_a7_a_signing_or_root_key_outside_the_group_is_refused(world: World, key: bytes):
    device = world.device()
    identity = bytes(device.identity.public_key)
    # With a key of small order, R = identity and S = 0 would verify for many messages under a lax check.
    lax = b"\x01" + bytes(63)
    listed = device.device_id + key + identity + b"\x01" + bytes(8) + lax
    await assert_refused(
        world, device, signed_by(device.root, body_of(bytes(device.root.verify_key), [listed]))
    )

    own = transcript(
        DEVICE_LABEL, account_id_of(key), device.device_id, bytes(device.key.verify_key), identity
    )
    good = (
        device.device_id
        + bytes(device.key.verify_key)
        + identity
        + b"\x01"
        + bytes(8)
        + device.key.sign(own).signature
    )
    await assert_refused(world, device, SignedManifest(body_of(key, [good]), b"", lax))


@pytest.mark.parametrize(
    "number", [0, 2**255 - 19, 2**255 - 18, 2**255 + 9], ids=["zero", "p", "p+1", "high bit"]
)
async def test_a7_an_identity_key_that_is_not_canonical_is_refused(world: World, number: int):
    device = world.device()
    identity, signing = number.to_bytes(32, "little"), bytes(device.key.verify_key)
    own = transcript(DEVICE_LABEL, device.account_id, device.device_id, signing, identity)
    listed = device.device_id + signing + identity + b"\x01" + bytes(8) + device.key.sign(own).signature
    await assert_refused(
        world, device, signed_by(device.root, body_of(bytes(device.root.verify_key), [listed]))
    )


@pytest.mark.proves("M-IDENT-04")
async def test_the_next_manifest_follows_by_version_hash_and_root(world: World):
    device = await world.member()
    other_root = world.device()
    first = device.made[0].body
    wrong = {
        "manifest_conflict": [
            device.manifest(3, first),
            device.manifest(2, first + b"x"),
            signed_by(
                device.root,
                body_of(bytes(device.root.verify_key), [device.listed()], version=2, previous=bytes(32)),
            ),
        ],
        "manifest_invalid": [
            signed_by(
                other_root.root,
                body_of(
                    bytes(other_root.root.verify_key),
                    [other_root.listed()],
                    version=2,
                    previous=hashlib.sha256(first).digest(),
                ),
            ),
            signed_by(other_root.key, device.manifest(2, first).body),
            signed_by(other_root.key, device.manifest(2, first).body, other_root.device_id),
            signed_by(device.root, device.manifest(2, first).body, device.device_id),
        ],
    }

    for code, manifests in wrong.items():
        for manifest in manifests:
            answered = await device.call("POST", "/v1/accounts/self/manifests", {"manifest": told(manifest)})
            assert answered.code == code
    assert (await device.call("GET", "/v1/accounts/self")).json["manifest_version"] == 1


async def test_a7_a9_a_later_manifest_takes_no_device_with_bad_keys_or_without_its_own_signature(
    world: World,
):
    device, newcomer, victim = await world.member(), world.device(), await world.member()
    first = device.made[0].body
    newcomer.root = device.root
    unsigned = newcomer.listed()[:-64] + bytes(64)
    for_another_account = newcomer.listed(account_id=victim.account_id)
    small_order = newcomer.device_id + SMALL_ORDER[1] + newcomer.listed()[48:89] + b"\x01" + bytes(63)
    for listed in (unsigned, for_another_account, small_order):
        wrong = device.manifest(2, first, [device.listed(), listed], signer=device)
        refused = await device.call("POST", "/v1/accounts/self/manifests", {"manifest": told(wrong)})
        assert (refused.status, refused.code) == (422, "manifest_invalid")
    stolen = device.manifest(2, first, [device.listed(), relisted(victim, device)], signer=device)
    refused = await device.call("POST", "/v1/accounts/self/manifests", {"manifest": told(stolen)})
    assert (refused.status, refused.code) == (409, "conflict")
    assert (await device.call("GET", "/v1/accounts/self")).json["manifest_version"] == 1


def relisted(victim: RawDevice, thief: RawDevice) -> bytes:
    """The victim's id and keys under the thief's account, as if the victim had signed that."""
    return victim.listed(account_id=thief.account_id)
