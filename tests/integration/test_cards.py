"""Character cards in and out of real folders, through the commands."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from cozy_adapters.files.cards import FileCards
from cozy_adapters.files.charx import read_charx
from cozy_adapters.files.png import chunks, read_png
from cozy_domain.ids import PersonaId
from cozy_domain.persona.card.card import CardError, read_card
from cozy_domain.persona.card.from_persona import from_persona
from cozy_domain.persona.card.naming import id_from
from cozy_domain.persona.card.to_persona import to_persona
from cozy_domain.persona.resolve import as_written, examine, resolve
from cozy_server.cli.app import app
from tests.fixtures import cards

PICTURE = cards.png(cards.text("Title", b"kept"))
FILES = {
    "json": cards.json(cards.v3()),
    "png": cards.png(
        cards.text("Title", b"kept"),
        cards.text("chara", cards.json(cards.v2())),
        cards.text("ccv3", cards.json(cards.v3())),
    ),
    "charx": cards.charx(
        {
            "card.json": cards.json(
                cards.v3(
                    assets=[
                        {"type": "icon", "uri": "embeded://assets/icon/me.png", "name": "main", "ext": "png"}
                    ]
                )
            ),
            "assets/icon/me.png": cards.png(),
            "assets/other/song.mp3": b"song" * 9,
            "program.json": b"{}",
        }
    ),
}


class Folder:
    """Where commands run: ``cozy.yaml`` names ``personas`` below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.personas = root / "personas"
        (root / "cozy.yaml").write_text(f"personas:\n  folder: {self.personas}\n")

    def put(self, name: str, content: bytes) -> str:
        (self.root / name).write_bytes(content)
        return str(self.root / name)

    def cozy(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and what was said on either output."""
        config = ("--config", str(self.root / "cozy.yaml"))
        result = CliRunner().invoke(app, ["persona", *arguments, *config])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    def told(self, *arguments: str) -> Any:
        code, out = self.cozy(*arguments, "--json")
        assert code == 0, out
        return json.loads(out)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def card_in(path: Path) -> Any:
    return msgspec.json.decode(FileCards().unpack(path.read_bytes()).json)


@pytest.mark.parametrize("container", ["json", "png", "charx"])
def test_a_card_is_imported_and_comes_back_with_every_value(folder: Folder, container: str) -> None:
    told = folder.told("import", folder.put(f"any.{container}", FILES[container]))
    assert (told["id"], told["spec"], told["format"]) == ("mira", "v3", container)
    assert {"field": "some_program", "why": ""} in told["kept"]
    assert folder.cozy("validate")[0] == 0
    out = folder.root / f"out.{container}"
    again = folder.told("export", "mira", "-o", str(out))
    assert (again["changed"], again["left_out"], again["lost"]) == ([], [], [])
    assert card_in(out) == msgspec.json.decode(FileCards().unpack(FILES[container]).json)


def test_a_picture_and_assets_are_kept_and_given_back(folder: Folder) -> None:
    assert folder.told("import", folder.put("a.png", FILES["png"]))["ignored"] == [
        "a chara chunk beside ccv3"
    ]
    assert (folder.personas / "mira.card.png").read_bytes() == FILES["png"]
    folder.cozy("export", "mira", "-o", str(folder.root / "b.png"))
    made = (folder.root / "b.png").read_bytes()
    assert [it for it in chunks(made) if it.keyword not in ("ccv3", "chara")] == chunks(PICTURE)
    assert folder.told("import", folder.put("a.charx", FILES["charx"]), "--id", "two")["notes"] == [
        "3 assets are kept in the file beside it"
    ]
    folder.cozy("export", "two", "-o", str(folder.root / "b.charx"))
    assert FileCards().unpack((folder.root / "b.charx").read_bytes()).assets == (
        "assets/icon/me.png",
        "assets/other/song.mp3",
        "program.json",
    )


def test_a_png_of_a_v3_card_holds_a_v2_card_that_says_so(folder: Folder) -> None:
    folder.cozy("import", folder.put("a.json", FILES["json"]))
    folder.cozy("export", "mira", "-o", str(folder.root / "b.png"))
    content = (folder.root / "b.png").read_bytes()
    assert [it.keyword for it in chunks(content) if it.keyword] == ["ccv3", "chara"]
    assert msgspec.json.decode(read_png(content).json) == cards.v3()
    folder.cozy("export", "mira", "-o", str(folder.root / "c.png"), "--spec", "v2")
    content = (folder.root / "c.png").read_bytes()
    assert [it.keyword for it in chunks(content) if it.keyword] == ["chara"]
    assert card_in(folder.root / "c.png")["data"]["creator_notes"] == cards.data()["creator_notes"]


def test_what_was_edited_in_the_persona_is_in_the_card(folder: Folder) -> None:
    folder.cozy("import", folder.put("a.png", FILES["png"]))
    file = folder.personas / "mira.yaml"
    file.write_text(file.read_text().replace("Personality: patient", "Personality: impatient", 1))
    told = folder.told("export", "mira", "-o", str(folder.root / "b.json"))
    assert set(told["changed"]) == {"description", "personality", "system_prompt", "scenario"}
    assert told["lost"] == ["the picture: .png and .charx keep it"]
    made = card_in(folder.root / "b.json")["data"]
    assert "impatient" in made["description"]
    assert made["some_program"] == cards.data()["some_program"]


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        ("png", "charx", []),
        ("charx", "png", ["2 assets: a PNG holds one picture, .charx keeps them"]),
        ("charx", "json", ["3 assets: .charx keeps them"]),
        ("json", "charx", []),
    ],
)
def test_a_card_changes_its_container_and_what_is_lost_is_told(
    folder: Folder, source: str, target: str, lost: list[str]
) -> None:
    folder.cozy("import", folder.put(f"a.{source}", FILES[source]))
    out = folder.root / f"b.{target}"
    assert folder.told("export", "mira", "-o", str(out))["lost"] == lost
    made = card_in(out)["data"]
    if (source, target) == ("png", "charx"):
        assert made["assets"] == [
            {"type": "icon", "uri": "embeded://assets/icon/images/main.png", "name": "main", "ext": "png"}
        ]
        assert read_charx(out.read_bytes()).assets == {"assets/icon/images/main.png": PICTURE}
    else:
        assert made["assets"] == card_in(folder.root / f"a.{source}")["data"]["assets"]
    if (source, target) == ("charx", "png"):
        assert [it for it in chunks(out.read_bytes()) if not it.keyword] == chunks(cards.png())


def test_another_picture_can_be_named(folder: Folder) -> None:
    folder.cozy("import", folder.put("a.json", FILES["json"]))
    image = folder.put("i.png", PICTURE)
    assert folder.told("export", "mira", "-o", str(folder.root / "b.png"), "--image", image)["lost"] == []
    assert chunks((folder.root / "b.png").read_bytes())[1].keyword == "Title"
    code, out = folder.cozy(
        "export", "mira", "-o", str(folder.root / "c.png"), "--image", folder.put("i.jpg", b"\xff\xd8")
    )
    assert (code, "the picture is not a PNG" in out) == (1, True)
    code, out = folder.cozy("export", "mira", "-o", str(folder.root / "c.png"), "--image", "nothing.png")
    assert (code, "cannot read nothing.png" in out) == (2, True)


@pytest.mark.parametrize(
    "assets", [None, "none", [3, {"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}]]
)
def test_odd_assets_are_no_hindrance(folder: Folder, assets: object) -> None:
    content = cards.png(cards.text("ccv3", cards.json(cards.v3(assets=assets))))
    folder.cozy("import", folder.put("a.png", content))
    for ending in ("png", "charx", "json"):
        assert folder.cozy("export", "mira", "-o", str(folder.root / f"b.{ending}"))[0] == 0
        folder.cozy("import", str(folder.root / f"b.{ending}"), "--force")


def test_an_icon_elsewhere_stays_the_icon_and_is_not_fetched(folder: Folder) -> None:
    icon = {"type": "icon", "uri": "http://127.0.0.1:1/x.png", "name": "main", "ext": "png"}
    folder.cozy(
        "import", folder.put("a.png", cards.png(cards.text("ccv3", cards.json(cards.v3(assets=[icon])))))
    )
    folder.cozy("export", "mira", "-o", str(folder.root / "b.charx"))
    assert card_in(folder.root / "b.charx")["data"]["assets"] == [icon]


def test_a_persona_that_never_was_a_card_can_be_exported(folder: Folder) -> None:
    folder.personas.mkdir()
    for ending in ("json", "png", "charx"):
        told = folder.told("export", "wren", "-o", str(folder.root / f"w.{ending}"))
        assert (told["changed"], told["left_out"]) == ([], ["tools"])
        assert card_in(folder.root / f"w.{ending}")["data"]["name"] == "Wren"
    told = folder.told("import", str(folder.root / "w.png"), "--id", "wren-two")
    assert told["notes"] == []
    code, out = folder.cozy("list", "--json")
    assert code == 0
    rows = {row["id"]: row for row in json.loads(out)}
    assert (rows["wren-two"]["tools"], rows["wren"]["tools"] != "") == ("", True)


def test_nothing_is_replaced_unasked(folder: Folder) -> None:
    card = folder.put("a.png", FILES["png"])
    folder.cozy("import", card)
    written = (folder.personas / "mira.yaml").read_text()
    (folder.personas / "mira.yaml").write_text(f"{written}# mine\n")
    code, out = folder.cozy("import", card)
    assert code == 2
    assert "there is a persona 'mira' already" in out
    assert "--force" in out
    assert (folder.personas / "mira.yaml").read_text().endswith("# mine\n")
    assert folder.cozy("import", folder.put("a.json", FILES["json"]), "--force")[0] == 0
    assert sorted(path.name for path in folder.personas.iterdir()) == ["mira.yaml"]
    assert "# mine" not in (folder.personas / "mira.yaml").read_text()
    target = folder.root / "b.json"
    folder.cozy("export", "mira", "-o", str(target))
    code, out = folder.cozy("export", "mira", "-o", str(target))
    assert (code, "is there already" in out) == (2, True)
    assert folder.cozy("export", "mira", "-o", str(target), "--force")[0] == 0


@pytest.mark.parametrize("blocked", ["mira.yaml", ".mira.yaml.new", "mira.card.charx", ".mira.card.png.new"])
@pytest.mark.parametrize("kind", ["json", "png"])
def test_a_replacement_that_cannot_be_written_leaves_what_was_there(
    folder: Folder, blocked: str, kind: str
) -> None:
    folder.cozy("import", folder.put("a.png", FILES["png"]))
    (folder.personas / blocked).unlink(missing_ok=True)
    (folder.personas / blocked / "full").mkdir(parents=True)
    before = {path: path.read_bytes() for path in folder.personas.iterdir() if path.is_file()}
    other = {"json": cards.json(cards.v3()), "png": cards.png(cards.text("ccv3", cards.json(cards.v3())))}
    code, out = folder.cozy("import", folder.put(f"b.{kind}", other[kind]), "--force", "--id", "mira")
    if kind == "json" and "png" in blocked:
        assert code == 0  # which writes no picture
        return
    assert code == 2
    assert out.startswith("error: cannot write ")
    assert {path: path.read_bytes() for path in folder.personas.iterdir() if path.is_file()} == before


def test_a_name_cannot_move_the_cursor_of_who_lists_it(folder: Folder) -> None:
    folder.personas.mkdir()
    name, told = r"M\e[2J", r"a\e]0;x\a b"
    (folder.personas / "m.yaml").write_text(
        f'schema: persona/1\nid: mira\nname: "{name}"\ndescription: "{told}"\n'
    )
    for options in ((), ("--json",)):
        code, out = folder.cozy("list", *options)
        assert (code, "M?[2J" in out, "a?]0;x? b" in out, "\x1b" in out) == (0, True, True, False)


def test_a_card_called_as_a_shipped_persona_does_not_take_its_place_unasked(folder: Folder) -> None:
    card = folder.put("a.json", cards.json(cards.v2(name="Default")))
    code, out = folder.cozy("import", card)
    assert code == 2
    assert "there is a persona 'default' already: the one that comes with the engine" in out
    assert not folder.personas.exists()
    assert folder.told("import", card, "--force")["id"] == "default"


def test_a_persona_in_a_file_of_another_name_is_replaced_there(folder: Folder) -> None:
    folder.personas.mkdir()
    (folder.personas / "old.yaml").write_text("schema: persona/1\nid: mira\nname: M\n")
    (folder.personas / "ben.yaml").write_text("schema: persona/1\nid: other\nname: M\n")
    card = folder.put("a.json", FILES["json"])
    told = folder.told("import", card, "--force")
    assert told["files"] == [str(folder.personas / "old.yaml")]
    code, out = folder.cozy("import", card, "--id", "ben", "--force")
    assert code == 2
    assert "ben.yaml holds the persona 'other'" in out


def test_a_mistake_elsewhere_is_no_reason_not_to_import(folder: Folder) -> None:
    folder.personas.mkdir()
    (folder.personas / "torn.yaml").write_text("id: [")
    assert folder.cozy("import", folder.put("a.json", FILES["json"]))[0] == 0
    code, out = folder.cozy("export", "mira", "-o", str(folder.root / "b.json"))
    assert (code, "torn.yaml" in out) == (2, True)


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(folder: Folder) -> None:
    folder.personas.mkdir()
    victim = folder.root / "victim.txt"
    victim.write_text("safe")
    (folder.personas / "mira.yaml").symlink_to(victim)
    card = folder.put("a.json", FILES["json"])
    assert folder.cozy("import", card)[0] == 2
    assert folder.cozy("import", card, "--force")[0] == 0
    assert victim.read_text() == "safe"
    assert not (folder.personas / "mira.yaml").is_symlink()


def test_an_imported_file_is_as_readable_as_any_that_one_writes(folder: Folder) -> None:
    folder.cozy("import", folder.put("a.png", FILES["png"]))
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.personas.iterdir():
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("import", "nothing.png"), 2, "cannot read nothing.png"),
        (("import", "."), 2, "cannot read ."),
        (("export", "miro", "-o", "b.json"), 1, "there is no persona 'miro'"),
        (("export", "wren", "-o", "b.webp"), 2, "says nothing of its kind"),
        (("export", "wren", "-o", "b"), 2, "End it in .json, .png, .charx"),
        (("export", "wren", "-o", "b.charx", "--spec", "v2"), 2, "a CHARX holds a V3 card"),
        (("export", "wren", "-o", "no/such/b.json"), 2, "cannot write no/such/b.json"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(
    folder: Folder, arguments: tuple[str, ...], code: int, told: str
) -> None:
    folder.personas.mkdir()
    found, out = folder.cozy(*arguments)
    assert found == code
    assert told in out


@pytest.mark.parametrize("id", ["../x", "Mira", "a/b", "con", "", "x" * 65])
def test_an_id_that_leads_elsewhere_is_refused(folder: Folder, id: str) -> None:
    code, out = folder.cozy("import", folder.put("a.json", FILES["json"]), "--id", id)
    assert code == 2
    assert "cannot be an id" in out
    assert not folder.personas.exists()


def test_a_name_leads_nowhere(folder: Folder) -> None:
    card = folder.put("a.json", cards.json(cards.v2(name="../../Évil\x1b[31m\u202e")))
    code, out = folder.cozy("import", card)
    assert code == 0
    assert "\x1b" not in out
    assert [path.name for path in folder.personas.iterdir()] == ["evil-31m.yaml"]


def test_without_a_folder_one_is_asked_for(folder: Folder) -> None:
    (folder.root / "cozy.yaml").write_text("")
    card = folder.put("a.json", FILES["json"])
    code, out = folder.cozy("import", card)
    assert code == 2
    assert "--folder" in out
    code, out = folder.cozy("import", card, "--folder", card)
    assert (code, "is not a folder" in out) == (2, True)
    code, out = folder.cozy("import", card, "--folder", f"{card}/x")
    assert (code, "cannot make the folder" in out) == (2, True)
    assert folder.cozy("import", card, "--folder", str(folder.root / "new" / "one"))[0] == 0
    assert (folder.root / "new" / "one" / "mira.yaml").exists()


def test_a_large_lorebook_is_taken_and_a_larger_one_is_refused_with_what_to_do(folder: Folder) -> None:
    large = cards.book(*[cards.entry("word " * 60, f"key {n}") for n in range(300)])
    assert folder.cozy("import", folder.put("a.json", cards.json(cards.v3(character_book=large))))[0] == 0
    larger = cards.book(*[cards.entry("word " * 600, f"key {n}") for n in range(600)])
    code, out = folder.cozy(
        "import", folder.put("b.json", cards.json(cards.v3(character_book=larger))), "--id", "b"
    )
    assert code == 1
    assert "larger than 1024 kB" in out
    assert "Make the card smaller" in out


def test_a_damaged_file_beside_a_persona_is_told_at_export(folder: Folder) -> None:
    folder.cozy("import", folder.put("a.png", FILES["png"]))
    (folder.personas / "mira.card.png").write_bytes(FILES["png"][:50])
    code, out = folder.cozy("export", "mira", "-o", str(folder.root / "b.png"))
    assert (code, "ends in the middle of a chunk" in out) == (1, True)
    (folder.personas / "mira.card.png").unlink()
    assert folder.cozy("export", "mira", "-o", str(folder.root / "b.png"))[0] == 0


def test_a_persona_with_a_mistake_is_not_exported(folder: Folder) -> None:
    folder.personas.mkdir()
    (folder.personas / "a.yaml").write_text("schema: persona/1\nid: a\nname: A\nvoice:\n  speed: 9\n")
    code, out = folder.cozy("export", "a", "-o", str(folder.root / "b.json"))
    assert (code, "voice.speed" in out) == (2, True)


# Hostile files

MUTATIONS = 240
SECONDS = 2.0


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Bytes flipped, cut out, doubled, put in, or the end lost: one to three times."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        place, length = draw.randrange(len(changed) + 1), draw.choice((1, 1, 4, 64, 1_000))
        match draw.randrange(6):
            case 0:
                changed[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del changed[place : place + length]
            case 2:
                changed[place:place] = changed[place : place + length]
            case 3:
                changed[place:place] = draw.randbytes(length)
            case 4:
                changed[place : place + length] = (
                    draw.choice((b"\0", b"\xff", b"[", b'{"', b"\\ud800")) * length
                )
            case _:
                del changed[place:]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


def outcome(content: bytes) -> str:
    """``refused``, or ``taken`` as a whole and valid persona; anything else is an exception."""
    formats = FileCards()
    try:
        file = formats.unpack(content)
        card = read_card(file.json)
        persona = to_persona(card, PersonaId(id_from("x")), file.json).persona
        written = formats.to_yaml(as_written(persona, "x.yaml"))
    except CardError as error:
        return "refused" if error.message and error.hint else "refused without a reason"
    document = formats.parse(written, "x.yaml")
    assert not examine([document]).errors
    assert resolve([document]) == (persona,)
    made = from_persona(persona, "v3", 0)
    for kind in ("json", "png", "charx"):
        formats.pack(made.json, kind, "v3", file)
    return "taken"


@pytest.mark.parametrize("container", ["json", "png", "charx"])
def test_a_mutated_file_is_refused_with_a_reason_or_makes_a_whole_persona(container: str) -> None:
    draw = random.Random(f"hostile {container}")
    seen = {"refused": 0, "taken": 0}
    for _ in range(MUTATIONS // 3):
        content = mutated(FILES[container], draw)
        began = time.process_time()
        seen[outcome(content)] += 1
        assert time.process_time() - began < SECONDS
    assert seen["refused"] >= MUTATIONS // 3 * (2 if container == "json" else 3) // 4, seen
