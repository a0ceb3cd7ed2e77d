"""`cozy dev --simulate`: engines that only take time."""

import pytest

from cozy_domain.errors import ConfigError
from cozy_server.cli.run import simulated
from cozy_server.container.voice import Simulation


def test_three_times_in_milliseconds() -> None:
    assert simulated("150/250/1500") == Simulation(0.15, 0.25, 1.5)
    assert simulated("0/0/0") == Simulation()


@pytest.mark.parametrize(
    "times", ["", "1", "1/2", "1/2/3/4", "a/b/c", "-1/0/0", "1.5/0/0", "٣/0/0", "60001/0/0"]
)
def test_anything_else_is_refused_with_an_example(times: str) -> None:
    with pytest.raises(ConfigError) as refused:
        simulated(times)
    assert "150/250/150" in (refused.value.hint or "")
