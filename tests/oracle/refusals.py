"""What the oracle says no with. It knows no finer reasons: the vectors name those, the product's tests check them."""


class Refused(Exception):
    """It does not open, verify or stand; whatever there was before is as it was."""


class Waiting(Exception):
    """Something has to come before anybody can say: a secret, a chain, a manifest."""


def require(holds: object, why: str = "") -> None:
    if not holds:
        raise Refused(why)
