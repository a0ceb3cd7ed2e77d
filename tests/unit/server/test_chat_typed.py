"""What a typed line means, which options exclude each other, and in which language is answered."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cozy_domain.errors import ConfigError
from cozy_server.cli.chat.command import ChatOptions, check
from cozy_server.cli.chat.typed import NAMES, Nothing, Order, Say, Slip, Typed, read
from cozy_server.cli.chat.words import WORDS
from cozy_server.cli.language import language_of

NONE = ChatOptions(
    message=None, persona=None, session=None, new=False, model=None, user=None, url=None, key=None,
    as_json=False, color=True, language="en", data=None, config=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("", Nothing()),
        ("  \t", Nothing()),
        (" Hello! ", Say("Hello!")),
        ("//etc/hosts?", Say("/etc/hosts?")),
        ("/new", Order("new")),
        ("/NEW", Order("new")),
        ("/persona  wren ", Order("persona", "wren")),
        ("/histroy", Slip("histroy", "history")),
        ("/xyzzy", Slip("xyzzy")),
        ("/", Slip("")),
    ],
)
def test_a_line_is_a_message_an_order_or_a_slip(line: str, meant: Typed) -> None:
    assert read(line) == meant


@given(st.text())
@settings(max_examples=100)
def test_whatever_is_typed_means_something_and_nothing_that_is_said_gets_lost(line: str) -> None:
    match read(line):
        case Say(text):
            assert text in line
        case Order(name, _):
            assert name in NAMES
        case Slip():
            assert line.strip().startswith("/")
        case Nothing():
            assert not line.strip()


def test_every_word_is_there_in_both_languages_with_the_same_places() -> None:
    for name, words in WORDS.items():
        fields = [
            {field for _, field, _, _ in string.Formatter().parse(words[it]) if field} for it in ("en", "zh")
        ]
        assert fields[0] == fields[1], name


@pytest.mark.parametrize(
    ("wanted", "environ", "language"),
    [
        (None, {}, "en"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh"),
        (None, {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        (None, {"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
        ("en", {"LANG": "zh_CN.UTF-8"}, "en"),
        ("zh", {}, "zh"),
    ],
)
def test_the_option_then_the_locale_choose_the_language(
    wanted: object, environ: dict[str, str], language: str
) -> None:
    assert language_of(wanted, environ) == language  # type: ignore[arg-type]  # one of the two literals


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"new": True, "session": "last"}, "exclude each other"),
        ({"key": "k"}, "--key is for a server"),
        ({"session": "nonsense"}, "is not a UUID"),
    ],
)
def test_options_that_contradict_each_other_are_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check(replace(NONE, **changes))
    check(replace(NONE, session="last"))
    check(replace(NONE, key="k", url="http://127.0.0.1:1"))
