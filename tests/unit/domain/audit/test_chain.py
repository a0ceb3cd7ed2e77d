"""Tampering with the audit log is found."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cozy_domain.audit.chain import (
    GENESIS,
    UNREADABLE,
    Anchor,
    Fault,
    Link,
    Placed,
    Progress,
    Seal,
    along,
    anchor_at,
    beyond,
    concluded,
    is_genuine,
    is_genuine_anchor,
    mac_of,
    seal,
    sign,
    verify,
)
from cozy_domain.audit.events import AuditRecord, OperatorActed
from tests.fixtures.turns import AUDIT_KEY, at, number, record

Log = tuple[list[AuditRecord], list[Seal]]

sizes = st.integers(1, 8)
places = st.integers(0, 7)


def chained(sealed: int, unsealed: int = 0) -> Log:
    records = [record(n) for n in range(1, sealed + unsealed + 1)]
    return records, list(seal(AUDIT_KEY, None, records[:sealed]))


def kinds(log: Log) -> list[str]:
    return [fault.kind for fault in verify(AUDIT_KEY, *log).faults]


@given(st.integers(0, 8), st.integers(0, 3))
def test_an_untouched_log_has_no_fault(sealed: int, unsealed: int) -> None:
    records, seals = chained(sealed, unsealed)
    found = verify(AUDIT_KEY, records, seals)
    assert found.intact
    assert (found.sealed, found.unsealed) == (sealed, unsealed)
    assert found.last_sealed == (seals[-1] if seals else None)


@given(st.integers(1, 8), st.integers(0, 7))
def test_a_chain_made_in_parts_is_the_chain_made_at_once(size: int, cut: int) -> None:
    records, whole = chained(size)
    head = seal(AUDIT_KEY, None, records[:cut])
    tail = seal(AUDIT_KEY, head[-1] if head else None, records[cut:])
    assert [*head, *tail] == whole


@given(
    sizes,
    places,
    st.sampled_from(["at", "event", "level", "account", "owner", "session", "turn", "request", "mac"]),
)
def test_a_change_of_any_field_is_found_and_named(size: int, place: int, field: str) -> None:
    records, seals = chained(size)
    place %= size
    other = {
        "at": at(99),
        "event": OperatorActed("key.create", "another"),
        "level": "error",
        "account": "else",
        "owner": number(7),
        "session": number(8),
        "turn": number(9),
        "request": "req_9",
        "mac": "0" * 64,
    }
    records[place] = replace(records[place], **{field: other[field]})
    faults = verify(AUDIT_KEY, records, seals).faults
    assert faults == (Fault("changed", records[place].id, place + 1),)


@given(sizes, places)
def test_a_changed_id_is_found(size: int, place: int) -> None:
    records, seals = chained(size)
    place %= size
    original = records[place].id
    records[place] = replace(records[place], id=number(999))
    faults = verify(AUDIT_KEY, records, seals).faults
    assert faults == (Fault("removed", original, place + 1), Fault("inserted", number(999)))


@given(sizes, places)
def test_a_removed_record_is_found_and_named(size: int, place: int) -> None:
    records, seals = chained(size)
    gone = records.pop(place % size)
    assert verify(AUDIT_KEY, records, seals).faults == (Fault("removed", gone.id, place % size + 1),)


@given(st.integers(2, 8), places, st.booleans())
def test_a_record_removed_with_its_seal_is_found_unless_it_was_the_last(
    size: int, place: int, renumber: bool
) -> None:
    records, seals = chained(size)
    place %= size - 1
    del records[place], seals[place]
    if renumber:
        seals = [replace(one, position=position) for position, one in enumerate(seals, start=1)]
    assert "chain_broken" in kinds((records, seals))


@given(sizes, places)
def test_an_inserted_record_is_found_with_or_without_a_made_up_seal(size: int, place: int) -> None:
    records, seals = chained(size)
    forged = AuditRecord(number(999), at(0), OperatorActed("key.create", "mine"), mac="1" * 64)
    records.append(forged)
    assert verify(AUDIT_KEY, records, seals).faults == (Fault("inserted", forged.id),)
    seals.insert(place % size, Seal(place % size + 1, forged.id, "2" * 64))
    assert "changed" in kinds((records, seals))


@given(sizes, places, st.booleans())
def test_a_record_put_in_twice_is_found(size: int, place: int, before: bool) -> None:
    records, seals = chained(size)
    copy = replace(records[place % size])
    records.insert(0 if before else size, copy)
    assert verify(AUDIT_KEY, records, seals).faults == (Fault("inserted", copy.id),)


@given(st.integers(2, 8), places, places, st.booleans())
def test_reordered_seals_are_found(size: int, one: int, other: int, renumber: bool) -> None:
    records, seals = chained(size)
    one, other = one % size, other % size
    if one == other:
        other = (other + 1) % size
    seals[one], seals[other] = seals[other], seals[one]
    if renumber:
        seals = [replace(link, position=position) for position, link in enumerate(seals, start=1)]
    assert "chain_broken" in kinds((records, seals))


@given(sizes, places, st.sampled_from(["position", "hash", "record"]))
def test_a_changed_seal_is_found(size: int, place: int, field: str) -> None:
    records, seals = chained(size, 1)
    place %= size
    other = {"position": 99, "hash": "3" * 64, "record": records[-1].id}
    seals[place] = replace(seals[place], **{field: other[field]})
    assert "chain_broken" in kinds((records, seals))


@given(sizes)
def test_a_log_checked_with_another_key_is_wholly_wrong(size: int) -> None:
    records, seals = chained(size)
    found = verify(b"x" * 32, records, seals)
    assert [fault.kind for fault in found.faults] == ["changed"] * size


def test_an_unsealed_record_may_vanish_but_not_change() -> None:
    records, seals = chained(2, 2)
    assert verify(AUDIT_KEY, records[:3], seals).intact
    records[3] = replace(records[3], level="error")
    assert verify(AUDIT_KEY, records, seals).faults == (Fault("inserted", records[3].id),)


# The end of the chain


@given(sizes, places, st.integers(0, 2))
def test_a_record_that_neither_has_a_seal_nor_waits_for_one_has_lost_it(
    size: int, place: int, waiting: int
) -> None:
    records, seals = chained(size, waiting)
    pending = {record.id for record in records[size:]}
    assert verify(AUDIT_KEY, records, seals, pending).intact
    cut = place % size
    faults = verify(AUDIT_KEY, records, seals[:cut], pending).faults
    assert faults == tuple(Fault("seal_removed", record.id) for record in records[cut:size])


def test_a_record_that_waits_for_its_seal_and_is_gone_was_removed() -> None:
    records, seals = chained(2, 2)
    pending = {record.id for record in records[2:]}
    found = verify(AUDIT_KEY, records[:3], seals, pending)
    assert found.faults == (Fault("removed", records[3].id),)


def test_a_forged_record_that_waits_for_no_seal_was_inserted_not_unsealed() -> None:
    records, seals = chained(1)
    forged = replace(record(9), mac="1" * 64)
    assert verify(AUDIT_KEY, [*records, forged], seals, ()).faults == (Fault("inserted", forged.id),)


@given(sizes, places, st.integers(0, 2))
def test_a_chain_must_reach_its_anchor_and_may_be_ahead_of_it(size: int, place: int, waiting: int) -> None:
    records, seals = chained(size, waiting)
    anchored = place % size
    anchor = anchor_at(AUDIT_KEY, seals[anchored])
    whole = verify(AUDIT_KEY, records, seals, anchor=anchor)
    assert (whole.intact, whole.anchored) == (True, anchored + 1)
    for kept in range(anchored + 1):
        cut = verify(AUDIT_KEY, records[:kept], seals[:kept], (), anchor)
        assert cut.faults == (Fault("cut_off", seals[anchored].record, anchored + 1),)


def test_a_chain_that_grew_again_after_it_was_cut_off_is_not_the_one_that_was_anchored() -> None:
    records, seals = chained(4)
    anchor = anchor_at(AUDIT_KEY, seals[-1])
    others = [*records[:2], *(record(n) for n in range(10, 16))]
    again = seal(AUDIT_KEY, None, others)
    assert verify(AUDIT_KEY, others, again).intact
    assert verify(AUDIT_KEY, others, again, (), anchor).faults == (Fault("cut_off", seals[-1].record, 4),)


@given(sizes, st.sampled_from(["position", "record", "hash", "mac", "key", "unreadable"]))
def test_an_anchor_that_was_not_signed_with_the_key_is_a_fault_of_its_own(size: int, what: str) -> None:
    records, seals = chained(size)
    true = anchor_at(AUDIT_KEY, seals[-1])
    forged = {
        "position": Anchor(replace(true.seal, position=size + 1), true.mac),
        "record": Anchor(replace(true.seal, record=number(999)), true.mac),
        "hash": Anchor(replace(true.seal, hash="0" * 64), true.mac),
        "mac": Anchor(true.seal, seals[-1].hash),
        "key": anchor_at(b"x" * 32, seals[-1]),
        "unreadable": UNREADABLE,
    }[what]
    found = verify(AUDIT_KEY, records, seals, anchor=forged)
    assert (found.faults, found.anchored) == ((Fault("anchor_forged"),), None)


def test_without_an_anchor_nothing_vouches_for_the_end() -> None:
    found = verify(AUDIT_KEY, *chained(3))
    assert (found.intact, found.anchored) == (True, None)


def test_an_anchor_is_the_hmac_of_what_its_definition_says() -> None:
    (one,) = seal(AUDIT_KEY, None, (record(1),))
    anchor = anchor_at(AUDIT_KEY, one)
    assert anchor == Anchor(one, mac_of(AUDIT_KEY, f"anchor:1:{one.record}:{one.hash}".encode()))
    assert is_genuine_anchor(AUDIT_KEY, anchor)


def test_the_order_of_records_does_not_matter_but_that_of_seals_does() -> None:
    records, seals = chained(3)
    assert verify(AUDIT_KEY, records[::-1], seals).intact
    assert not verify(AUDIT_KEY, records, seals[::-1]).intact


def test_a_seal_is_the_hmac_of_what_its_definition_says() -> None:
    first, second = record(1), record(2)
    one, two = seal(AUDIT_KEY, None, (first, second))
    assert one == Seal(1, first.id, mac_of(AUDIT_KEY, f"{GENESIS}:1:{first.id}:{first.mac}".encode()))
    assert two == Seal(2, second.id, mac_of(AUDIT_KEY, f"{one.hash}:2:{second.id}:{second.mac}".encode()))


def test_signing_again_changes_nothing_and_another_key_is_not_genuine() -> None:
    signed = record(1)
    assert sign(AUDIT_KEY, signed) == signed
    assert is_genuine(AUDIT_KEY, signed)
    assert not is_genuine(b"x" * 32, signed)
    assert not is_genuine(AUDIT_KEY, replace(signed, mac=""))


def test_sealing_nothing_gives_nothing() -> None:
    assert seal(AUDIT_KEY, None, ()) == ()


# In parts


@given(st.integers(0, 8), st.integers(0, 3), st.integers(1, 5))
def test_a_check_in_parts_is_the_check_at_once(sealed: int, unsealed: int, page: int) -> None:
    records, seals = chained(sealed, unsealed)
    links = [Link(one, record) for one, record in zip(seals, records, strict=False)]
    placed = [Placed(it, n if n <= sealed else None, n > sealed) for n, it in enumerate(records, start=1)]
    so_far = Progress()
    for start in range(0, len(links), page):
        so_far = along(AUDIT_KEY, so_far, links[start : start + page])
    for start in range(0, len(placed), page):
        so_far = beyond(AUDIT_KEY, so_far, placed[start : start + page])
    assert concluded(AUDIT_KEY, so_far) == verify(AUDIT_KEY, records, seals)


def test_a_record_that_was_sealed_after_the_walk_is_of_the_tail() -> None:
    found = beyond(AUDIT_KEY, Progress(), [Placed(record(1), 1, waiting=False)])
    assert (found.unsealed, found.faults) == (1, ())


def test_a_seal_at_a_place_that_no_walk_comes_to_is_none() -> None:
    so_far = along(
        AUDIT_KEY, Progress(), [Link(one, record(1)) for one in seal(AUDIT_KEY, None, (record(1),))]
    )
    found = beyond(
        AUDIT_KEY, so_far, [Placed(record(1), 1, waiting=False), Placed(record(2), 0, waiting=False)]
    )
    assert found.faults == (Fault("seal_removed", record(2).id),)


def test_orphans_were_removed() -> None:
    found = concluded(AUDIT_KEY, Progress(), (number(3),))
    assert found.faults == (Fault("removed", number(3)),)
