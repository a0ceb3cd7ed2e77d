"""`cozy demo` is the smoke test of a new machine, so it must work, and must not say so when it does not."""

import json
import re
from pathlib import Path

import pytest

from cozy_server.cli import demo
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import command, without


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_it_answers_calls_a_tool_remembers_and_exits_0(tmp_path: Path) -> None:
    code, out, errors = await command("demo", folder=tmp_path)
    assert (code, errors) == (0, "")
    assert "17 * 23 = 391" in out
    assert "Your name is Robin." in out
    assert out.count("[calculator: ok]") == 1
    assert out.index("391") < out.index("[calculator: ok]") < out.index("What is my name?")
    assert "unless a model is named" not in out
    assert len(re.findall(r"context \d+ ms · first token \d+ ms · total \d+ ms", out)) == 3
    assert "The log is intact." in out
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("model", "step"),
    [
        ("ok", "an answer that needs the calculator"),
        ("status?code=500", "a streamed answer"),
    ],
)
async def test_a_step_that_fails_is_named_and_exits_1(
    tmp_path: Path, fake_openai: FakeOpenAI, model: str, step: str
) -> None:
    code, out, errors = await command(
        "demo",
        "--model",
        f"fake/{model}",
        folder=tmp_path,
        COZY_MODELS__PROVIDERS__FAKE__BASE_URL=fake_openai.base_url,
    )
    assert code == 1
    assert f"FAILED: {step}: " in errors
    assert "All of it works." not in out


async def test_a_script_gets_the_steps_as_one_object(tmp_path: Path) -> None:
    code, out, errors = await command("demo", "--json", folder=tmp_path)
    told = json.loads(out)
    assert (code, errors, told["ok"], told["model"]) == (0, "", True, "offline/offline")
    assert [step["step"] for step in told["steps"]] == [step.name for step in (*demo.STEPS, demo.SPOKEN)]
    assert told["steps"][1]["tools"] == [{"name": "calculator", "outcome": "ok"}]


async def test_one_turn_is_spoken_and_says_that_its_recogniser_was_given_a_grammar(tmp_path: Path) -> None:
    code, out, _ = await command("demo", folder=tmp_path)
    assert code == 0
    spoken = out[out.index("(spoken, in a call: ") :]
    assert "[understood: What is my name?]" in spoken
    assert "its recogniser was given a grammar: What is my name? What time is it?" in spoken
    assert spoken.index("grammar") < spoken.index("Your name is Robin.") < spoken.index("[spoken: ")
    assert "[spoken: 0.0 s" not in spoken
    assert re.search(
        r"ms after the last word: endpointing \d+ \+ model \d+ \+ synthesis \d+ \+ playout \d+\]", spoken
    )


async def test_the_spoken_turn_is_told_to_a_script_with_its_grammar(tmp_path: Path) -> None:
    _, out, _ = await command("demo", "--json", folder=tmp_path)
    turn = json.loads(out)["steps"][-1]
    assert (turn["says"], turn["said"]) == ("What is my name?", "Your name is Robin.")
    assert turn["says"] in turn["grammar"]
    assert len(turn["grammar"]) > 1
    assert 0.5 < turn["answer_s"] < 10
    assert turn["heard_after_ms"] > 0


async def test_without_a_recogniser_the_demo_says_what_to_install_and_works(tmp_path: Path) -> None:
    code, out, _ = await command("demo", folder=tmp_path, **without("pocketsphinx", tmp_path))
    assert code == 0
    assert "No spoken turn: " in out
    assert "pip install 'cozy-engine[all]'" in out
    assert "All of it works." in out


def test_every_step_has_a_name_of_its_own() -> None:
    names = [step.name for step in (*demo.STEPS, demo.SPOKEN)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, None),
        ({"COZY_MODEL": "offline", "OPENAI_API_KEY": ""}, None),
        ({"OPENAI_API_KEY": "sk-1"}, "OPENAI_API_KEY is set, "),
        ({"OPENAI_API_KEY": "sk-1", "COZY_MODEL": "a/b"}, "OPENAI_API_KEY and COZY_MODEL are set, "),
    ],
)
def test_who_has_a_model_is_told_that_the_demo_does_not_ask_it(
    environ: dict[str, str], told: str | None
) -> None:
    note = demo.offline_note(environ)
    if told is None:
        assert note is None
    else:
        assert note is not None
        assert note.startswith(told)
        assert "cozy demo --model" in note
        assert "sk-1" not in note


async def test_the_note_is_printed_before_the_demo(tmp_path: Path) -> None:
    code, out, _ = await command("demo", folder=tmp_path, OPENAI_API_KEY="sk-canary")
    assert code == 0
    assert out.startswith("OPENAI_API_KEY is set, but the demo answers offline")
    assert "sk-canary" not in out


async def test_without_the_stock_client_it_says_in_one_line_what_to_install(tmp_path: Path) -> None:
    hidden = without("openai", tmp_path)
    code, out, errors = await command("demo", "--json", folder=tmp_path, **hidden)
    told = json.loads(errors)["error"]
    assert (code, out, told["message"]) == (2, "", "cozy needs openai, which is not installed")
    assert told["hint"] == "Type: pip install 'cozy-engine[openai]'"
