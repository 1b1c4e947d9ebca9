"""A device in a group, a second time, from docs/protocol.md: it reads the log, commits, and talks under its chains.

What it keeps is in lists and dictionaries; how entries, secrets and chains travel, its caller knows.
"""

from collections.abc import Callable
from typing import Any

from tests.oracle import ed25519, group_messages, group_state
from tests.oracle.group_state import CUT, HEAR, SEND, Chains
from tests.oracle.refusals import Refused, Waiting, require
from tests.oracle.transcripts import transcript, u64


class OracleMember:
    """One device of one account in one group."""

    def __init__(
        self, account: bytes, device: bytes, signing_seed: bytes, draw: Callable[[int], bytes], chains: Chains
    ) -> None:
        self.account, self.device, self.signing_seed = account, device, signing_seed
        self.draw, self.chains = draw, chains
        self.state: dict[str, Any] | None = None
        self.next_entry = 0
        self.epochs: list[dict[str, Any]] = []  # the newest first
        self.told: list[tuple[dict[str, Any], bytes]] = []  # secrets whose cut was not read yet
        self.write_seed = b""
        self.own: dict[str, Any] = {}  # the own chain, with its signing seed
        self.senders: dict[bytes, tuple[bytes, dict[bytes, dict[str, Any]]]] = {}
        self.used: set[tuple[bytes, int]] = set()

    @property
    def known(self) -> dict[str, Any]:
        require(self.state, "in no group")
        assert self.state is not None
        return self.state

    @property
    def keys(self) -> dict[str, Any]:
        """Of the present epoch and step."""
        state = self.known
        present = state["epoch"], state["step"], group_state.hash_at_cut(state)
        for each in self.epochs:
            if (each["epoch"], each["step"], each["cut_hash"]) == present:
                return each
        raise Waiting("the secret")

    # Commits

    def create(self, changes: list[bytes], now_ms: int) -> bytes:
        """Entry 0; the first change adds this account as owner."""
        return self.make_entry(self.draw(32), CUT, changes, now_ms)[0]

    def commit(self, changes: list[bytes], now_ms: int, *, cut: bool = False) -> tuple[bytes, bytes]:
        """(Entry, epoch hand-out or nothing), on the present state; nothing of it is taken before it is read."""
        state = self.known
        try:
            needed = group_state.needed_kind(state, self.account, changes, self.chains)
        except Refused as refused:
            raise group_state.as_skipped(refused) from None
        kind = CUT if cut else needed
        return self.make_entry(state["group_id"], kind, changes, now_ms)

    def make_entry(
        self, group_id: bytes, kind: int, changes: list[bytes], now_ms: int
    ) -> tuple[bytes, bytes]:
        state, secret = self.state, self.draw(32) if kind == CUT else b""
        version = self.chains[self.account][-1].version
        if state is not None:
            version = group_state.version_of_commit(state, self.account, changes)
        fields = [
            bytes([1, kind]),
            group_id,
            group_state.state_hash(state) if state else b"",
            self.account,
            self.device,
            u64(version),
            u64(now_ms),
            group_messages.commitment_of(group_id, secret) if secret else b"",
            *changes,
        ]
        body = transcript(b"tokenim/v1 group commit\0", *fields)
        signature = ed25519.sign(self.signing_seed, body)
        following = group_state.apply_commit(state, signature, body, self.chains)
        hand_out = b""
        if kind == CUT:
            cut = group_state.state_hash(following)
            keys = group_messages.epoch_keys(group_id, following["epoch"], 0, cut, secret)
            hand_out = group_messages.epoch_hand_out(keys, self.draw(32))
        if state is None:  # the first entry is sealed under the epoch that it begins
            self.state, self.epochs, self.next_entry = following, [keys], 1
            self.write_seed = hand_out[109:]
        index = self.next_entry if state else 0
        return group_messages.seal_entry(self.keys, index, signature + body, self.draw(12)), hand_out

    def follow(self, entry: bytes) -> bool:
        """Read the next entry: True if it was a commit, False if every member skips it; Waiting."""
        keys, state = self.keys, self.known
        try:
            signature, body = group_messages.open_entry(keys, self.next_entry, entry)
            following = group_state.apply_commit(state, signature, body, self.chains)
        except Refused:
            self.next_entry += 1
            return False
        self.state, self.next_entry = following, self.next_entry + 1
        if following["step"] > state["step"] and following["epoch"] == state["epoch"]:
            names = following["group_id"], following["epoch"], following["step"]
            secret = group_messages.next_secret(*names, group_state.state_hash(following), keys["secret"])
            self.epochs.insert(0, group_messages.epoch_keys(*names, keys["cut_hash"], secret))
        if following["epoch"] > state["epoch"]:
            self.write_seed = b""
            self.take_told()
        return True

    def learn(self, hand_out: bytes) -> None:
        """A secret, which may come before its cut."""
        keys, seed = group_messages.parse_hand_out(hand_out)
        require(keys["group_id"] == self.known["group_id"] and not keys["step"], "another group, or a step")
        self.told.append((keys, seed))
        self.take_told()

    def take_told(self) -> None:
        """Those that open the commitment of the present cut."""
        state = self.known
        for keys, seed in self.told:
            names = keys["epoch"], keys["cut_hash"]
            commitment = group_messages.commitment_of(keys["group_id"], keys["secret"])
            fits = (
                names == (state["epoch"], group_state.hash_at_cut(state))
                and commitment == state["commitment"]
            )
            if fits and keys not in self.epochs:
                self.epochs.insert(0, keys)
                self.write_seed = seed

    def hand_out(self, account: bytes) -> bytes:
        """The present cut's secret for a device of this member."""
        member, state = self.known["members"][account], self.known
        require(group_state.rights(member) & HEAR, "may not hear", "NotEntitled")
        found = [each for each in self.epochs if (each["epoch"], each["step"]) == (state["epoch"], 0)]
        require(found, "it joined after a step, and was never told")
        return group_messages.epoch_hand_out(
            found[0], self.write_seed if group_state.may_commit(member) else b""
        )

    def welcome(self, account: bytes) -> bytes:
        member = self.known["members"][account]
        require(group_state.rights(member) & HEAR, "may not hear", "NotEntitled")
        seed = self.write_seed if group_state.may_commit(member) else b""
        told = group_messages.epoch_hand_out(self.keys, seed)
        return group_messages.welcome(told, self.next_entry, group_state.encode_state(self.known))

    def join(self, welcome: bytes) -> None:
        keys, seed, next_entry, state = group_messages.parse_welcome(welcome)
        told = keys["group_id"], keys["epoch"], keys["step"], keys["cut_hash"]
        is_of = state["group_id"], state["epoch"], state["step"], group_state.hash_at_cut(state)
        require(told == is_of and self.account in state["members"], "parts that do not fit")
        commitment = group_messages.commitment_of(keys["group_id"], keys["secret"])
        require(keys["step"] or commitment == state["commitment"], "another secret")
        self.state, self.next_entry, self.epochs, self.write_seed = state, next_entry, [keys], seed
        self.own = {}

    # Messages

    def chain_hand_out(self) -> bytes:
        """The own chain where it stands, begun anew after a cut."""
        state = self.known
        where = state["epoch"], group_state.hash_at_cut(state)
        if not self.own or (self.own["epoch"], self.own["cut_hash"]) != where:
            seed = self.draw(32)
            self.own = {"group_id": state["group_id"], "epoch": where[0], "cut_hash": where[1], "seed": seed}
            self.own |= {"chain_id": self.draw(12), "chain_key": self.draw(32), "iteration": 0}
            self.own["public"] = ed25519.public_of(seed)
        return group_messages.chain_hand_out(self.own)

    def accept(self, account: bytes, device: bytes, hand_out: bytes) -> None:
        """A chain of that device, as its session told."""
        chain = group_messages.parse_chain(hand_out)
        kept = self.senders.setdefault(device, (account, {}))[1]
        known = kept.setdefault(chain["chain_id"], chain)
        require(known["public"] == chain["public"], "another key for one chain", "CopiedState")

    def send(self, text: bytes) -> bytes:
        self.chain_hand_out()
        mine = self.known["members"][self.account]
        require(group_state.rights(mine) & SEND, "may not send", "NotEntitled")
        me = self.account, self.device
        sealed = group_messages.seal_message(
            text, self.keys["header"], self.own, me, self.own["seed"], self.draw(12)
        )
        _, self.own["chain_key"] = group_messages.chain_step(self.own["chain_key"])
        self.own["iteration"] += 1
        return sealed

    def open(self, envelope: bytes) -> bytes:
        """The steps of "Receiving"."""
        group_messages.require_shape(envelope)
        for keys in self.epochs:
            try:
                device, chain_id, iteration = group_messages.open_header(envelope, keys["header"])
            except Refused:
                continue
            break
        else:
            raise Waiting("an epoch")
        if device not in self.senders or chain_id not in self.senders[device][1]:
            raise Waiting("a chain")
        account, chains = self.senders[device]
        member = self.known["members"].get(account)
        require(member and group_state.rights(member) & SEND, "who is out is not shown", "NotEntitled")
        require(device in self.chains[account][-1].devices, "the device left", "UnknownDevice")
        require(member and keys["epoch"] >= member["since"], "before it was a member", "NotEntitled")
        bound = chains[chain_id]["epoch"], chains[chain_id]["cut_hash"]
        require(bound == (keys["epoch"], keys["cut_hash"]), "a chain of another epoch", "Undecryptable")
        require((chain_id, iteration) not in self.used, "replayed", "Replayed")
        text = group_messages.open_message(envelope, keys["header"], chains[chain_id], account)
        self.used.add((chain_id, iteration))
        return text
