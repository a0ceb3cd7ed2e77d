"""What a telephone says that it has played counts; what it never says is believed after a while."""

from hypothesis import given
from hypothesis import strategies as st

from cozy_server.fastrtc.marks import MOST, PATIENCE_NS, Marks


def test_the_last_sample_counts_when_the_mark_behind_it_is_echoed() -> None:
    marks = Marks()
    name = marks.set(480, 20)
    assert marks.confirmed(300, 10) == 300
    assert marks.confirmed(480, 30) == 479
    marks.echoed(name)
    assert marks.confirmed(480, 31) == 480
    assert marks.next_ns(31) is None


def test_an_echo_that_never_comes_is_not_waited_for_for_ever() -> None:
    marks = Marks()
    marks.set(480, 20)
    assert marks.next_ns(30) == PATIENCE_NS - 10
    assert marks.confirmed(480, 19 + PATIENCE_NS) == 479
    assert marks.confirmed(480, 20 + PATIENCE_NS) == 480


def test_an_echo_speaks_for_the_marks_before_it() -> None:
    marks = Marks()
    first, second = marks.set(480, 0), marks.set(960, 0)
    marks.echoed(second)
    marks.echoed(first)
    assert marks.confirmed(960, 1) == 960


def test_foreign_and_forgotten_names_do_nothing() -> None:
    marks = Marks()
    old = marks.set(480, 0)
    marks.forget()
    marks.set(960, 0)
    marks.echoed(old)
    marks.echoed("x")
    assert marks.confirmed(960, 1) == 959


def test_no_more_marks_are_kept_than_some() -> None:
    marks = Marks()
    for number in range(1, MOST + 2):
        marks.set(number * 10, 0)
    assert marks.confirmed(1_000, 1) == 19


@given(st.lists(st.sampled_from(("set", "echo", "forget", "wait")), max_size=60))
def test_what_is_confirmed_never_exceeds_the_clock_nor_falls(steps: list[str]) -> None:
    marks, position, now, names, before = Marks(), 0, 0, [""], 0
    for step in steps:
        if step == "set":
            position += 480
            names.append(marks.set(position, now))
        elif step == "echo":
            marks.echoed(names[-1])
        elif step == "forget":
            marks.forget()
        now += PATIENCE_NS // 3
        found = marks.confirmed(position, now)
        assert before <= found <= position
        before = found
