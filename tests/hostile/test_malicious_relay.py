"""Every attack that is known is seen by the user under its name, or does no harm.

That each goes unseen without its guard is played by `make hostile GUARDS=off`, a stage of `.ci/run`.
"""

from collections.abc import Iterator

import pytest

from tests.hostile.all_attacks import ATTACKS
from tests.hostile.stage import Theatre, open_theatre


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with open_theatre(tmp_path_factory.mktemp("relay") / "data") as theatre:
        yield theatre


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_seen_or_does_no_harm(name, theatre, tmp_path):
    played = await theatre.play(ATTACKS[name], tmp_path)
    assert played.saw
