"""How much is under way at once."""

import pytest

from cozy_domain.access.caller import Caller
from cozy_domain.access.seats import Seats
from cozy_domain.errors import LimitError
from cozy_domain.ids import Owner

ANNA = (Caller("anna"), Owner("anna", "anna"))
BEN = (Caller("ben"), Owner("ben", "ben"))
APP = Caller("app", serves_many=True)


def refusal(seats: Seats, caller: Caller, owner: Owner) -> str:
    with pytest.raises(LimitError) as caught:
        seats.take(caller, owner)
    assert caught.value.retry_after_s == 1.0
    return caught.value.code


def test_when_all_seats_are_taken_nobody_gets_one_until_one_is_free() -> None:
    seats = Seats(2, 2)
    sitter = seats.take(*ANNA)
    seats.take(*BEN)
    assert refusal(seats, *ANNA) == refusal(seats, Caller("new"), Owner("new", "new")) == "server_overloaded"
    assert seats.refused == 2
    seats.free(sitter)
    seats.take(*BEN)


def test_one_owner_does_not_get_all_of_them() -> None:
    seats = Seats(10, 2)
    sitters = [seats.take(*ANNA), seats.take(*ANNA)]
    assert refusal(seats, *ANNA) == "rate_limit_exceeded"
    assert seats.refused == 0
    seats.take(*BEN)
    seats.free(sitters[0])
    seats.take(*ANNA)
    assert refusal(seats, *ANNA) == "rate_limit_exceeded"


def test_an_ordinary_key_takes_them_for_its_account_whomever_it_names() -> None:
    seats = Seats(10, 1)
    seats.take(Caller("anna"), Owner("anna", "mei"))
    assert refusal(seats, Caller("anna"), Owner("anna", "ben")) == "rate_limit_exceeded"


def test_a_key_that_serves_many_takes_them_for_each_of_its_people() -> None:
    seats = Seats(10, 1)
    seats.take(APP, Owner("app", "mei"))
    seats.take(APP, Owner("app", "ben"))
    assert refusal(seats, APP, Owner("app", "mei")) == "rate_limit_exceeded"


def test_what_is_done_on_a_seat_gives_it_back_however_it_ends() -> None:
    seats = Seats(1, 1)
    with seats.taken(*ANNA):
        assert refusal(seats, *BEN) == "server_overloaded"
    with pytest.raises(ValueError, match="broke"), seats.taken(*ANNA):
        raise ValueError("broke")
    seats.take(*BEN)
