"""The table of roles: each (role, operation) as written, and what is left to the suspended."""

import pytest

from relay.services.devices import KnownDevice
from relay.services.roles import PERMISSIONS, SUSPENDED, Operation, Role, require
from relay.wire.errors import NotAllowed


def device(role: str, *, suspended: bool = False) -> KnownDevice:
    return KnownDevice(bytes(16), bytes(32), bytes(32), role, suspended)


def is_allowed(one: KnownDevice, operation: Operation) -> bool:
    try:
        require(one, operation)
    except NotAllowed:
        return False
    return True


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("role", Role)
def test_e3_every_operation_is_checked_against_the_table(role: Role, operation: Operation):
    assert is_allowed(device(role), operation) is (operation in PERMISSIONS[role])
    suspended = is_allowed(device(role, suspended=True), operation)
    assert suspended is (operation in PERMISSIONS[role] and operation in SUSPENDED)


def test_a_guest_is_not_in_the_directory():
    assert not is_allowed(device("guest"), Operation.SET_HANDLE)
    assert not is_allowed(device("guest"), Operation.LOOK_UP_HANDLE)
    assert is_allowed(device("guest"), Operation.SUBMIT)


def test_a_role_that_this_version_does_not_know_may_nothing():
    assert not any(is_allowed(device("emperor"), operation) for operation in Operation)


def test_the_suspended_receive_nothing_and_reach_nobody_new():
    assert (
        not {Operation.READ_MAILBOX, Operation.FETCH_BUNDLES, Operation.UPLOAD_BLOB, Operation.SET_HANDLE}
        & SUSPENDED
    )
