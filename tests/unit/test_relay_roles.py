"""The table of roles: each (role, operation) as written, what is left to the suspended, and roles that settings define."""

from pathlib import Path

import pytest

from relay.composition import commands_of
from relay.config import ConfigInvalid, load_settings
from relay.services.devices import KnownDevice
from relay.services.roles import EVERYTHING, PERMISSIONS, SUSPENDED, Authority, Operation, Role, Roles
from relay.wire.errors import CLOSE_CODES, MalformedRequest, NotAllowed
from tests.raw_socket import authenticated
from tests.running_relay import open_world


def device(role: str, *, suspended: bool = False) -> KnownDevice:
    return KnownDevice(bytes(16), bytes(32), bytes(32), role, suspended)


def is_allowed(one: KnownDevice, operation: Operation, roles: Roles | None = None) -> bool:
    try:
        (roles or Roles()).require(one, operation)
    except NotAllowed:
        return False
    return True


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("role", Role)
def test_e3_every_operation_is_checked_against_the_table(role: Role, operation: Operation):
    assert is_allowed(device(role), operation) is (operation in PERMISSIONS[role])
    suspended = is_allowed(device(role, suspended=True), operation)
    assert suspended is (operation in PERMISSIONS[role] and operation in SUSPENDED)


def test_a_guest_is_not_in_the_directory_and_lets_nobody_in():
    for operation in (Operation.SET_HANDLE, Operation.CREATE_GROUP_LOG, Operation.INVITE):
        assert not is_allowed(device("guest"), operation)
    assert is_allowed(device("guest"), Operation.SUBMIT)


def test_a_role_that_this_version_does_not_know_may_nothing():
    assert not any(is_allowed(device("emperor"), operation) for operation in Operation)


def test_the_suspended_receive_nothing_and_reach_nobody_new():
    assert (
        not {Operation.READ_MAILBOX, Operation.FETCH_BUNDLES, Operation.UPLOAD_BLOB, Operation.SET_HANDLE}
        & SUSPENDED
    )


def defined(**roles: object) -> Roles:
    return Roles(load_settings(file=None, environment={}, command_line={"roles": roles}).roles)


def test_e3_a_role_of_the_settings_may_what_is_listed_and_nothing_else() -> None:
    roles = defined(helpdesk=["suspend_accounts", "list_accounts"], nothing=[])
    allowed = {one for one in Operation if is_allowed(device("helpdesk"), one, roles)}
    assert allowed == {Operation.LIST_ACCOUNTS, Operation.SUSPEND_ACCOUNTS}
    assert not any(is_allowed(device("nothing"), one, roles) for one in Operation)
    assert not any(is_allowed(device("helpdesk", suspended=True), one, roles) for one in Operation)
    assert roles.names == (*Role, "helpdesk", "nothing")
    with pytest.raises(MalformedRequest, match="did you mean `helpdesk`"):
        roles.check_known("helpdsek")


def test_e3_a_role_that_is_defined_no_more_may_nothing_and_is_touched_by_owners_alone() -> None:
    roles = defined(helpdesk=["read_mailbox", "list_accounts"])
    moderator = roles.authority(bytes(32), "moderator", suspended=False)
    roles.require_all_of("helpdesk", by=moderator)
    roles.change(None)
    assert not any(is_allowed(device("helpdesk"), one, roles) for one in Operation)
    assert roles.authority(bytes(32), "helpdesk", suspended=False).permissions == frozenset()
    with pytest.raises(NotAllowed):
        roles.require_all_of("helpdesk", by=moderator)
    roles.require_all_of("helpdesk", by=roles.authority(bytes(32), "owner", suspended=False))
    roles.require_all_of("helpdesk", by=Authority.of_machine(0))


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        ({"helpdesk": ["list_acounts"]}, "no permission `list_acounts`; did you mean `list_accounts`"),
        ({"helpdesk": ["xyz"]}, "no permission `xyz`: there are change_manifest"),
        ({"helpdesk": ["run_the_machine"]}, "`run_the_machine` is for no role that settings define"),
        ({"helpdesk": ["appoint_owners"]}, "`appoint_owners` is for no role that settings define"),
        ({"owner": ["submit"]}, "role `owner` is there already"),
        ({"suspended": ["submit"]}, "role `suspended`: this says how an account stands"),
        ({"Help Desk": ["submit"]}, "a name is of 1 to 32"),
        ({"helpdesk": "submit"}, "its permissions are a list"),
        ({f"role-{number}": [] for number in range(65)}, "at most 64"),
    ],
)
def test_roles_that_cannot_be_defined_are_refused_in_words(roles: object, told: str) -> None:
    with pytest.raises(ConfigInvalid, match="setting `roles`: ") as refused:
        load_settings(file=None, environment={}, command_line={"roles": roles})
    assert told in str(refused.value)


def test_roles_stand_in_the_file_as_a_table_and_in_the_environment_as_one_inline(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('[roles]\nhelpdesk = ["submit", "list_accounts"]\n')
    from_file = load_settings(file=file, environment={})
    variable = {"TOKENIM_RELAY_ROLES": '{ helpdesk = ["list_accounts", "submit"] }'}
    assert from_file.roles == load_settings(file=None, environment=variable).roles
    assert from_file.roles == {"helpdesk": (Operation.SUBMIT, Operation.LIST_ACCOUNTS)}
    with pytest.raises(ConfigInvalid, match="not a table of TOML"):
        load_settings(file=None, environment={"TOKENIM_RELAY_ROLES": "helpdesk"})
    assert frozenset(Operation) == EVERYTHING


async def test_e3_a_role_given_counts_at_once_and_cuts_off_who_may_not_be_connected() -> None:
    async with open_world(roles={"helpdesk": ["list_accounts"]}) as world:
        machine = Authority.of_machine(0)
        bob = await world.member(handle="bob")
        async with authenticated(bob) as socket:
            await commands_of(world.relay.services).run(
                "role.grant", {"account": "bob", "role": "helpdesk"}, by=machine
            )
            assert await socket.closed() == CLOSE_CODES["not_allowed"]
        assert (await bob.call("GET", "/v1/mailbox?wait_seconds=0")).code == "not_allowed"
        with pytest.raises(MalformedRequest, match="did you mean `helpdesk`"):
            await commands_of(world.relay.services).run(
                "role.grant", {"account": "bob", "role": "helpdsk"}, by=machine
            )
        listed = (await commands_of(world.relay.services).run("role.list", {}, by=machine))["roles"]
        assert {
            "role": "helpdesk",
            "defined": True,
            "permissions": ["list_accounts"],
            "accounts": 1,
        } in listed
