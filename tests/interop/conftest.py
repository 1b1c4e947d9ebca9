"""What a test says of itself for the table at the end of a run (`matrix.py`)."""

from collections.abc import Callable

import pytest

from tests.interop.matrix import PROPERTY, WAYS


@pytest.fixture
def went(record_property) -> Callable[..., None]:
    """Called by a test with the rows of the client's page that it is a case of; they count as the test ends."""

    def note(*names: str, to: tuple[str, ...] = WAYS) -> None:
        for name in names:
            for way in to:
                record_property(PROPERTY, (name, way))

    return note
