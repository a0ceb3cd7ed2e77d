"""How busy the process is, as admission sees it."""

from cozy_server.container.voice import Load


class Machine:
    """``used`` of the seconds that passed."""

    def __init__(self) -> None:
        self.used = 0.0
        self.now = 0.0

    def second(self, busy: float) -> None:
        self.used += busy
        self.now += 1.0


def after(*seconds: float) -> int:
    machine = Machine()
    load = Load(lambda: machine.used, lambda: machine.now)
    percent = 0
    for busy in seconds:
        machine.second(busy)
        percent = load()
    return percent


def test_a_process_that_is_busy_for_long_is_full() -> None:
    assert after(*[1.0] * 20) >= 95


def test_a_burst_is_no_lasting_load() -> None:
    assert after(0.3, 0.3, 1.0, 1.0) < 50


def test_several_cores_count_as_one() -> None:
    assert after(*[3.0] * 30) == 100


def test_half_of_the_time_is_half_and_rest_is_rest() -> None:
    assert after(*[0.5] * 30) == 50
    assert after(*[1.0] * 10, *[0.0] * 30) == 0


def test_asked_twice_at_once_it_says_the_same() -> None:
    machine = Machine()
    load = Load(lambda: machine.used, lambda: machine.now)
    machine.second(1.0)
    assert load() == load() == 20
