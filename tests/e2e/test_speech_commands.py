"""`cozy say` and `cozy transcribe`, as a person types them and as a script runs them."""

import json
import struct
from pathlib import Path

import pytest

from tests.fixtures.server import command
from tests.fixtures.terminal import CTRL_C, terminal

BEGINS = {
    "mp3": (b"\xff\xf3", b"\xff\xfb", b"ID3"),
    "opus": (b"OggS",),
    "ogg": (b"OggS",),
    "aac": (b"\xff\xf1",),
    "flac": (b"fLaC",),
    "wav": (b"RIFF",),
}
PERSONA = """
schema: persona/1
id: mei
name: Mei
locale: zh-CN
prompt: {system: You are Mei.}
voice: {voice: nova, speed: 2.0}
"""


def minutes(folder: Path, number: int) -> Path:
    """Noise that takes a recogniser a while."""
    samples = struct.pack("<4h", 4_000, -4_000, 9_000, -9_000) * 4_000 * 60 * number
    header = (
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    )
    file = folder / "long.wav"
    file.write_bytes(header + b"data" + struct.pack("<I", len(samples)) + samples)
    return file


def names(folder: Path) -> set[str]:
    return {it.name for it in folder.iterdir()}


async def test_what_is_said_into_a_file_of_each_format_is_transcribed_again(tmp_path: Path) -> None:
    for ending, beginnings in BEGINS.items():
        code, out, errors = await command("say", "Open the window.", "-o", f"f.{ending}", folder=tmp_path)
        assert (code, errors) == (0, ""), ending
        assert "s of sound" in out
        assert (tmp_path / f"f.{ending}").read_bytes().startswith(beginnings), ending
    code, out, errors = await command("transcribe", "f.ogg", folder=tmp_path)
    assert code == 0
    assert out.strip()
    assert "demo quality" in errors
    assert names(tmp_path) == {f"f.{ending}" for ending in BEGINS}


async def test_a_script_gets_json_and_subtitles(tmp_path: Path) -> None:
    code, out, _ = await command("say", "-", "-o", "f.wav", "--json", folder=tmp_path, stdin="Hello there.")
    said = json.loads(out)
    assert code == 0
    assert (said["file"], said["format"]) == ("f.wav", "wav")
    assert said["bytes"] == (tmp_path / "f.wav").stat().st_size
    code, out, errors = await command("transcribe", "f.wav", "--json", "--words", folder=tmp_path)
    heard = json.loads(out)
    assert (code, errors) == (0, "")
    assert (heard["recogniser"], heard["language"]) == ("pocketsphinx", "en")
    assert heard["seconds"] == pytest.approx(said["seconds"], abs=0.05)
    assert heard["words"][0]["start"] >= 0
    for form, begins in (("srt", "1\n00:00:00,"), ("vtt", "WEBVTT\n\n")):
        await command("transcribe", "f.wav", "--format", form, "-o", f"f.{form}", folder=tmp_path)
        assert (tmp_path / f"f.{form}").read_text().startswith(begins)


async def test_a_persona_brings_its_pace_and_its_language(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "mei.yaml").write_text(PERSONA, encoding="utf-8")
    (tmp_path / "cozy.yaml").write_text("personas: {folder: personas}\n")
    lengths = []
    for more in ((), ("--persona", "mei")):
        _, out, _ = await command("say", "你好。", "-o", "f.wav", "--force", "--json", *more, folder=tmp_path)
        lengths.append(json.loads(out)["seconds"])
    assert 0.4 < lengths[1] / lengths[0] < 0.75
    code, _, errors = await command("transcribe", "f.wav", "-p", "mei", "--json", folder=tmp_path)
    assert code == 1
    assert "'zh-CN'" in json.loads(errors)["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("say", "hi", "-o", "there.wav"), 2, "is there already"),
        (("say", "hi", "-o", "f.doc"), 2, "says no format"),
        (("say", " ", "-o", "f.wav"), 1, "nothing to say"),
        (("say", "hi", "-o", "-", "--json", "--format", "wav"), 2, "cannot both go to standard output"),
        (("say", "hi", "-o", "no/such/folder/f.wav"), 2, "cannot be written"),
        (("say", "hi", "-o", "f.wav", "--voice", "nobody"), 1, "no voice 'nobody'"),
        (("say", "hi", "-o", "f.wav", "--engine", "nobody"), 1, "no model 'nobody'"),
        (("say", "hi", "-o", "f.wav", "--persona", "nobody"), 1, "no persona 'nobody'"),
        (("transcribe", "nothing.wav"), 2, "cannot be read"),
        (("transcribe", "there.wav"), 1, "is empty"),
        (("transcribe", "cozy.yaml"), 1, "no format that we read"),
        (("transcribe", "cozy.yaml", "-o", "there.wav"), 2, "is there already"),
    ],
)
async def test_what_is_wrong_is_told_with_its_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    (tmp_path / "there.wav").write_bytes(b"")
    (tmp_path / "cozy.yaml").write_text("speech: {}\n")
    got, _, errors = await command(*arguments, folder=tmp_path)
    assert (got, told in errors) == (code, True), errors
    assert "Traceback" not in errors
    assert not (tmp_path / "f.wav").exists()


async def test_ctrl_c_ends_a_long_transcription_and_leaves_nothing(tmp_path: Path) -> None:
    minutes(tmp_path, 5)
    async with terminal("transcribe", "long.wav", "-o", "long.txt", folder=tmp_path) as person:
        await person.until("of 300 s understood")
        person.type(CTRL_C)
        assert await person.ended() == 130
        assert "Traceback" not in person.seen
    assert not (tmp_path / "long.txt").exists()


async def test_a_file_is_there_only_once_it_is_whole(tmp_path: Path) -> None:
    text = "One sentence follows another. " * 4_000
    async with terminal("say", text, "-o", "f.mp3", folder=tmp_path) as person:
        await person.until("s of sound")
        assert (tmp_path / "f.mp3.part").exists()
        person.type(CTRL_C)
        assert await person.ended() == 130
    assert names(tmp_path) == set()
