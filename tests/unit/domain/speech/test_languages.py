"""Languages have names and codes."""

import pytest

from cozy_domain.speech.languages import NAMES, code_of, name_of


def test_every_name_leads_back_to_its_code() -> None:
    assert all(code_of(name_of(code)) == code for code in NAMES)


@pytest.mark.parametrize(
    ("told", "code"), [("English", "en"), (" swedish ", "sv"), ("de", "de"), ("x" * 50, "x" * 16)]
)
def test_what_is_no_name_is_a_code(told: str, code: str) -> None:
    assert code_of(told) == code


@pytest.mark.parametrize(("tag", "name"), [("zh-CN", "chinese"), ("EN", "english"), ("tlh", "tlh")])
def test_a_tag_is_named_by_its_beginning(tag: str, name: str) -> None:
    assert name_of(tag) == name
