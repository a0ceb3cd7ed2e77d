"""Who may call."""

import pytest

from cozy_domain.access.caller import Caller
from cozy_domain.errors import LimitError
from cozy_domain.ids import Owner
from cozy_domain.voice.seats import CallSeats, SeatLimits

ANNA = (Caller("anna"), Owner("anna", "anna"))
BEN = (Caller("ben"), Owner("ben", "ben"))
APP = Caller("app", serves_many=True)


def refusal(seats: CallSeats, caller: Caller, owner: Owner, busy: int = 0) -> str:
    with pytest.raises(LimitError) as caught:
        seats.take(caller, owner, busy)
    assert caught.value.retry_after_s == 5.0
    return caught.value.code


def test_when_all_seats_are_taken_nobody_gets_one_until_one_is_free() -> None:
    seats = CallSeats(SeatLimits(at_once=2, each=2))
    sitter = seats.take(*ANNA, 0)
    seats.take(*BEN, 0)
    assert refusal(seats, *ANNA) == refusal(seats, Caller("new"), Owner("new", "new")) == "server_overloaded"
    assert (seats.refused, seats.taken) == (2, 2)
    seats.free(sitter)
    seats.take(*ANNA, 0)


def test_one_owner_does_not_get_all_of_them() -> None:
    seats = CallSeats(SeatLimits(at_once=10, each=2))
    seats.take(*ANNA, 0)
    sitter = seats.take(*ANNA, 0)
    assert refusal(seats, *ANNA) == "too_many_calls"
    seats.take(*BEN, 0)
    seats.free(sitter)
    seats.take(*ANNA, 0)


def test_people_of_a_key_that_serves_many_are_counted_apart() -> None:
    seats = CallSeats(SeatLimits(at_once=10, each=1))
    seats.take(APP, Owner("app", "mei"), 0)
    seats.take(APP, Owner("app", "jun"), 0)
    assert refusal(seats, APP, Owner("app", "mei")) == "too_many_calls"


def test_a_machine_without_time_takes_no_call() -> None:
    seats = CallSeats(SeatLimits(busy_percent=90))
    assert refusal(seats, *ANNA, 90) == "server_overloaded"
    seats.take(*ANNA, 89)
