import pytest

from cozy_domain.persona.card.macros import plain, unknown, without_original


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("<BOT> and <bot> and <Char>", "{{char}} and {{char}} and {{char}}"),
        ("<USER>, {{USER}}, {{ user }}", "{{user}}, {{user}}, {{user}}"),
        ("a{{// no {single} brace}}b", "a{{// no {single} brace}}b"),
        ("a{{// note}}b{{comment: c}}d", "abd"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("{{random:a,b}} {{roll:d6}} {{mood}}", "{{random:a,b}} {{roll:d6}} {{mood}}"),
        ("<b>bold</b><script>alert(1)</script>", "<b>bold</b><script>alert(1)</script>"),
        ("{{ char }}{% for x in y %}${jndi:x}#{7*7}", "{{char}}{% for x in y %}${jndi:x}#{7*7}"),
    ],
)
def test_names_have_one_form_and_everything_else_stays(written: str, meant: str) -> None:
    assert plain(written) == meant


def test_the_hosts_own_instructions_are_not_repeated() -> None:
    assert without_original("{{Original}}\nBe kind. ") == "Be kind."
    assert without_original(" as it is ") == " as it is "


def test_placeholders_that_nobody_fills_are_named_once() -> None:
    assert unknown("{{char}} {{random:a}} {{Random::b}} {{ mood }} {{=x}} {{}}") == ("random", "mood")


@pytest.mark.parametrize("piece", ["{{", "{{//", "{{ ", "<", "}}", "{{comment:{{"])
def test_a_text_full_of_openings_is_read_in_no_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    assert len(plain(without_original(text))) <= len(text)
    assert unknown(text) == ()
