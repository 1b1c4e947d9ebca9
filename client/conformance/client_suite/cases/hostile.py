"""Chapters Identity and manifests, and Transparency: a relay that lies about who somebody is, or about its log."""

from typing import Any

from client.conformance.client_suite.setting import Setting
from client.conformance.client_suite.suite import CLIENT_SUITE
from client.conformance.report import Failed
from client.conformance.wire import to_base64

from .session import Change, bundle_of, flipped


def _manifests_case(name: str, about: str, proves: tuple[str, ...], change: Change) -> None:
    async def body(setting: Setting) -> None:
        ann, bob = await setting.two()
        setting.script.manifests = change
        await setting.nothing_goes_to(ann, bob, asks="manifests")

    body.__doc__ = about
    CLIENT_SUITE.case(name, proves=proves)(body)


def _first(told: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**told, "manifests": [{**told["manifests"][0], **changes}]}


def _proof(told: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**told, "inclusion": {**told["inclusion"], **changes}}


_manifests_case(
    "client-manifest-signature",
    "Refuses a manifest whose signature is wrong: no envelope leaves.",
    ("M-IDENT-04",),
    lambda told: _first(told, signature=flipped(told["manifests"][0]["signature"], 3)),
)
_manifests_case(
    "client-manifest-body",
    "Refuses a manifest of which one byte of a device's key was changed.",
    ("M-IDENT-04",),
    lambda told: _first(told, body=flipped(told["manifests"][0]["body"], 150)),
)
_manifests_case(
    "client-manifest-none",
    "Sends nothing where the relay keeps the manifests back.",
    (),
    lambda told: {**told, "manifests": []},
)
_manifests_case(
    "client-inclusion-index",
    "Refuses a manifest that the proof shows at another place of the log.",
    ("M-TRANSP-01",),
    lambda told: _proof(told, index=told["inclusion"]["index"] ^ 1),
)
_manifests_case(
    "client-inclusion-hashes",
    "Refuses a manifest whose inclusion proof does not lead to the root of the head.",
    ("M-TRANSP-01",),
    lambda told: _proof(
        told, hashes=[flipped(told["inclusion"]["hashes"][0], 0), *told["inclusion"]["hashes"][1:]]
    ),
)
_manifests_case(
    "client-head-signature",
    "Refuses a manifest under a head of the log that the pinned key did not sign.",
    ("M-TRANSP-01",),
    lambda told: _proof(told, head=flipped(told["inclusion"]["head"], 10)),
)


@CLIENT_SUITE.case("client-manifest-of-another", proves=("M-IDENT-04",))
async def manifest_of_another(setting: Setting) -> None:
    """Refuses the well-signed, logged manifest of another account in the place of the one that it asked for, and its devices."""
    ann, bob = await setting.two()
    carol = setting.account(await setting.person("carol"))

    def swapped(told: dict[str, Any]) -> dict[str, Any]:
        proof = setting.house.inclusion(setting.house.manifest_leaf(carol))
        return {**told, "manifests": [carol.told], "inclusion": proof}

    setting.script.manifests = swapped
    setting.script.bundle = lambda bundle: bundle_of(carol, bundle)
    await setting.nothing_goes_to(ann, bob, asks="manifests")
    device = to_base64(carol.device.device_id)
    if any(device in (asked.get("devices") or ()) for asked in setting.house.bundles_asked):
        raise Failed(
            "expected no request for keys of a device that only the manifest of another account lists"
        )


@CLIENT_SUITE.case("client-handle-of-another", proves=("M-TRANSP-01",))
async def handle_of_another(setting: Setting) -> None:
    """Refuses an account for a handle, if the log binds the handle to another one."""
    ann, _bob = await setting.two()
    carol = await setting.person("carol")
    account = setting.account(carol)

    def swapped(told: dict[str, Any]) -> dict[str, Any]:
        token = to_base64(account.public_token or b"")
        return {**told, "account_id": to_base64(account.manifest.account_id), "public_token": token}

    setting.script.handle = swapped
    await setting.nothing_goes_to(ann, carol, asks="handle", named="bob")


@CLIENT_SUITE.case("client-log-forked", proves=("M-TRANSP-01",))
async def log_forked(setting: Setting) -> None:
    """Believes no new account of a relay that signed two logs: no consistency proof connects the heads."""
    ann = await setting.person("ann")
    bob = await setting.person("bob")
    setting.house.log.leaves[0] = b"another history"
    await setting.nothing_goes_to(ann, bob, asks="consistency proof")


@CLIENT_SUITE.case("client-log-rolled-back", proves=("M-TRANSP-01",))
async def log_rolled_back(setting: Setting) -> None:
    """Believes no answer under a head that is smaller than one that it knows."""
    ann, bob = await setting.two()
    await ann.call("send", to="bob", text="before")
    await bob.until("before")
    carol = await setting.person("carol")
    dave = await setting.person("dave")
    await ann.call("send", to="dave", text="grown")
    await dave.until("grown")
    leaves = setting.house.log.leaves
    del leaves[-2:]  # those of dave: the largest head that ann knows had them
    await setting.nothing_goes_to(ann, carol, asks="handle")


@CLIENT_SUITE.case("client-consistency-wrong", proves=("M-TRANSP-01",))
async def consistency_wrong(setting: Setting) -> None:
    """Believes nothing of a relay whose consistency proofs are wrong."""
    ann = await setting.person("ann")
    bob = await setting.person("bob")
    setting.script.consistency = lambda hashes: [bytes([one[0] ^ 1]) + one[1:] for one in hashes]
    await setting.nothing_goes_to(ann, bob, asks="consistency proof")
