"""How a conversation looks, to people and to scripts."""

import json
from io import StringIO

import pytest

from cozy_server.cli.chat.said import Began, Ended, Failed, Refused, Said, Skipped, Thought, ToolUsed, Words
from cozy_server.cli.chat.screen import JsonScreen, PlainScreen

BEGAN = Began("s", "t")


def shown(*said: Said, terminal: bool = True, styled: bool = False) -> str:
    out = StringIO()
    screen = PlainScreen(out, out, "en", terminal=terminal, styled=styled)
    for it in said:
        screen.show(it)
    return out.getvalue()


def test_words_come_as_they_are_and_the_line_is_ended() -> None:
    assert shown(BEGAN, Words("one "), Words("two"), Ended("completed", "stop")) == "one two\n"
    assert shown(BEGAN, Words("one\n"), Ended("completed", "stop")) == "one\n"


def test_thinking_is_dim_and_on_lines_of_its_own_and_not_for_scripts() -> None:
    said = (BEGAN, Thought("hm"), Thought(" so"), Words("yes"), Ended("completed", "stop"))
    assert shown(*said, styled=True) == "\x1b[2mhm so\x1b[0m\nyes\n"
    assert shown(*said, terminal=False) == "yes\n"


def test_dim_ends_with_the_thinking_also_when_the_turn_fails() -> None:
    out = StringIO()
    screen = PlainScreen(out, out, "en", terminal=True, styled=True)
    screen.show(Thought("hm"))
    screen.fail(Failed("provider_error", "it broke", "try again"))
    assert out.getvalue() == "\x1b[2mhm\x1b[0m\nerror: it broke\n  → try again\n"


def test_a_tool_is_one_line_with_short_arguments_how_it_went_and_how_long_it_took() -> None:
    used = ToolUsed("clock", '{"zone":\n "Asia/Shanghai"}', "ok", 3)
    assert shown(Words("Let me see."), used) == 'Let me see.\n[clock {"zone": "Asia/Shanghai"} ok 3 ms]\n'
    long = shown(ToolUsed("clock", "x" * 500))
    assert long == f"[clock {'x' * 59}…]\n"


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (Ended("interrupted"), "[stopped]\n"),
        (Ended("completed", "length"), "[cut off: length]\n"),
        (Ended("completed", "stop", degraded=(Skipped("memory", "timeout", 400),)),
         "[without memory: timeout, after 400 ms]\n"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_should_be_is_said(ended: Ended, told: str) -> None:
    assert shown(Words("some"), ended) == f"some\n{told}"


def test_what_a_terminal_would_obey_is_made_visible_there_alone() -> None:
    said = (
        Refused("red\x1b[31m\rover\u202eten\x9b1m"),
        ToolUsed("a\x1bb", "{}\x07"),
        Ended("completed", "stop"),
    )
    assert shown(*said) == "red\ufffd[31m\ufffdover\ufffdten\ufffd1m\n[a\ufffdb {}\ufffd]\n"
    assert "\x1b[31m" in shown(said[0], terminal=False)


def test_json_is_a_line_for_each_event() -> None:
    out = StringIO()
    screen = JsonScreen(out)
    for it in (BEGAN, Words('a\n"b"'), Ended("completed", "stop")):
        screen.show(it)
    screen.fail(Failed("c", "m"))
    screen.note("for people")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["type"] for line in lines] == ["turn_started", "text", "turn_ended", "turn_failed"]
    assert lines[1]["text"] == 'a\n"b"'


def test_notes_are_harmless_also_where_the_words_go_to_a_file() -> None:
    out, notes = StringIO(), StringIO()
    screen = PlainScreen(out, notes, "en", terminal=False, styled=False)
    screen.show(Words("\x1b[31mred"))
    screen.show(ToolUsed("a\x1b]52;c;aGk=\x07", "{}", "ok", 1))
    screen.note("\x1b[2J")
    screen.fail(Failed("provider_error", "\x1b]0;owned\x07", "\x1b[1m"))
    assert out.getvalue() == "\x1b[31mred\n"
    assert not set(notes.getvalue()) & set("\x1b\x07")
