"""Personas in real folders, and those that are shipped."""

import os
from pathlib import Path

import pytest

from cozy_adapters.files.personas import YamlPersonaFiles
from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.persona_revisions import InMemoryPersonaRevisions
from cozy_domain.ids import PersonaId
from cozy_domain.persona.catalog import LiveCatalog
from cozy_domain.persona.document import InvalidPersonaError
from cozy_domain.persona.persona import Persona
from cozy_domain.persona.resolve import examine, resolve
from cozy_domain.persona.surroundings import Surroundings

SHIPPED = {"default", "wren", "xiaoman"}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"schema: persona/1\n{text}\n", encoding="utf-8")
    return path


async def personas(folder: Path | None = None) -> dict[str, Persona]:
    return {persona.id: persona for persona in resolve(await YamlPersonaFiles(folder).read())}


async def refusals(folder: Path) -> list[str]:
    with pytest.raises(InvalidPersonaError) as raised:
        await YamlPersonaFiles(folder).read()
    return [str(problem).removeprefix(f"{folder}/") for problem in raised.value.problems]


async def test_a_look_is_the_same_until_some_file_changes(tmp_path: Path) -> None:
    files = YamlPersonaFiles(tmp_path)
    looks = [await files.look()]
    anna = write(tmp_path, "anna.yaml", "id: anna\nname: Anna")
    looks.append(await files.look())
    os.utime(anna, ns=(1, 1))
    looks.append(await files.look())
    anna.rename(tmp_path / "bert.yaml")
    looks.append(await files.look())
    (tmp_path / "link.yaml").symlink_to("nowhere.yaml")
    looks.append(await files.look())
    assert len(set(looks)) == len(looks)
    assert await files.look() == looks[-1]
    (tmp_path / "notes.txt").write_text("no persona")
    assert await files.look() == looks[-1]


async def test_a_look_at_a_folder_that_is_gone_is_another_and_no_error(tmp_path: Path) -> None:
    files = YamlPersonaFiles(tmp_path / "own")
    (tmp_path / "own").mkdir()
    before = await files.look()
    (tmp_path / "own").rmdir()
    assert await files.look() != before
    assert await YamlPersonaFiles().look() == await YamlPersonaFiles().look()


async def test_the_shipped_personas_have_nothing_wrong_with_them() -> None:
    examination = examine(await YamlPersonaFiles().read())
    assert examination.problems == ()
    assert {persona.id for persona in examination.personas} == SHIPPED


async def test_the_shipped_personas_are_whole_characters() -> None:
    for persona in (await personas()).values():
        assert persona.prompt.system
        assert persona.prompt.style
        assert persona.prompt.post_history
        assert persona.description
        assert len(persona.prompt.examples) == 2
        assert len(persona.prompt.openings) >= 2
        assert set(persona.tools.allow) == {"calculator", "clock"}
        assert persona.personalise


async def test_the_shipped_personas_speak_their_languages() -> None:
    shipped = await personas()
    assert {id: persona.locale for id, persona in shipped.items()} == {
        "default": "mul",
        "wren": "en",
        "xiaoman": "zh-CN",
    }
    assert shipped["default"].name == "Cozy"
    assert "Cozy" in shipped["default"].prompt.openings[0]


async def test_a_shipped_system_prompt_is_short() -> None:
    for persona in (await personas()).values():
        wide = sum(character > "\u2e80" for character in persona.prompt.system)
        narrow = len(persona.prompt.system) - wide
        assert wide + narrow / 4 < 400, (
            persona.id
        )  # one token a Chinese character, four letters a token: an upper guess


async def test_a_folder_adds_and_overrides_by_id(tmp_path: Path) -> None:
    write(tmp_path, "whatever.yaml", "id: default\nname: Mine")
    write(tmp_path, "more.yml", "id: anna\nname: Anna\nextends: wren")
    found = await personas(tmp_path)
    assert set(found) == {*SHIPPED, "anna"}
    assert found["default"].name == "Mine"
    assert found["anna"].prompt == found["wren"].prompt


async def test_two_files_of_the_folder_under_one_id_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "id: anna\nname: A")
    write(tmp_path, "b.yaml", "id: anna\nname: B")
    problems = examine(await YamlPersonaFiles(tmp_path).read()).problems
    assert [str(problem) for problem in problems] == [
        f"{tmp_path}/a.yaml:2:5  id: 'anna' is also the id in {tmp_path}/b.yaml [persona_id]",
        f"{tmp_path}/b.yaml:2:5  id: 'anna' is also the id in {tmp_path}/a.yaml [persona_id]",
    ]


async def test_a_mistake_is_told_with_file_line_field_and_suggestion(tmp_path: Path) -> None:
    write(tmp_path, "anna.yaml", "id: anna\nname: Anna\nmodel:\n  temprature: 1\nvoice:\n  speed: 4.5")
    problems = examine(await YamlPersonaFiles(tmp_path).read()).problems
    assert [str(problem) for problem in problems] == [
        f"{tmp_path}/anna.yaml:5:3  model.temprature: is not known, kept as an extension [persona_unknown_key]"
        "  did you mean temperature?",
        f"{tmp_path}/anna.yaml:7:10  voice.speed: 4.5 is above 4 [persona_voice_speed]  did you mean 4?",
    ]


async def test_a_mistake_of_a_parent_is_told_at_its_own_place(tmp_path: Path) -> None:
    write(tmp_path, "child.yaml", "id: child\nextends: parent\nname: C")
    write(tmp_path, "parent.yaml", "id: parent\nname: P\nbudgets:\n  memory:\n    floor: 2000")
    (problem,) = examine(await YamlPersonaFiles(tmp_path).read()).problems
    assert (problem.file, problem.line) == (f"{tmp_path}/parent.yaml", 6)


async def test_every_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "id: [")
    write(tmp_path, "b.yaml", "id: a\nid: b")
    (tmp_path / "c.yaml").mkdir()
    assert await refusals(tmp_path) == [
        "a.yaml:3:1  is not YAML: expected the node content, but found '<stream end>' [persona_yaml]",
        "b.yaml:3:1  the key 'id' stands here twice [persona_duplicate_key]",
        "c.yaml:1:1  is not a file [persona_unreadable]",
    ]


async def test_a_file_that_cannot_be_read_hides_nothing_of_the_others(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "id: [")
    write(tmp_path, "b.yaml", "id: b\nname: B\nvoice:\n  speed: 4.5")
    write(tmp_path, "c.yaml", "id: c\nname: C\ntools:\n  allow: [calculater]")
    live = LiveCatalog(YamlPersonaFiles(tmp_path), InMemoryPersonaRevisions(), InMemoryClock())
    around = Surroundings(tools=("calculator", "clock"), aliases=(), providers=())
    assert [(Path(problem.file).name, problem.code) for problem in await live.reload(around)] == [
        ("a.yaml", "persona_yaml"),
        ("b.yaml", "persona_voice_speed"),
        ("c.yaml", "persona_tool"),
    ]
    assert len(live.current) == 0


async def test_children_of_a_file_that_cannot_be_read_are_not_blamed(tmp_path: Path) -> None:
    write(tmp_path, "parent.yaml", "id: parent\nname: [")
    write(tmp_path, "child.yaml", "id: child\nextends: parent")
    write(tmp_path, "grandchild.yaml", "id: grandchild\nextends: child")
    write(tmp_path, "other.yaml", "id: other\nextends: wren\nname: 1")
    live = LiveCatalog(YamlPersonaFiles(tmp_path), InMemoryPersonaRevisions(), InMemoryClock())
    assert [(Path(problem.file).name, problem.code) for problem in await live.reload()] == [
        ("other.yaml", "persona_name"),
        ("parent.yaml", "persona_yaml"),
    ]


async def test_a_folder_that_does_not_exist_is_told_with_what_to_do(tmp_path: Path) -> None:
    told = (
        r"/nowhere:1:1  does not exist: make this folder, or correct personas\.folder \[persona_unreadable\]$"
    )
    with pytest.raises(InvalidPersonaError, match=told):
        await YamlPersonaFiles(tmp_path / "nowhere").read()


async def test_other_files_hidden_files_and_folders_below_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", "a.yaml", "id: a\nname: A")
    write(tmp_path, ".b.yaml", "id: b\nname: B")
    write(tmp_path, "c.yaml.bak", "id: c\nname: C")
    assert set(await personas(tmp_path)) == SHIPPED


async def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "personas"
    inside.mkdir()
    write(tmp_path, "secret.yaml", "id: a\nname: A")
    (inside / "absolute.yaml").symlink_to(tmp_path / "secret.yaml")
    (inside / "relative.yaml").symlink_to("../secret.yaml")
    assert await refusals(inside) == [
        "absolute.yaml:1:1  is a link out of its folder [persona_link]",
        "relative.yaml:1:1  is a link out of its folder [persona_link]",
    ]


async def test_a_link_that_leads_nowhere_or_to_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    (tmp_path / "gone.yaml").symlink_to("nowhere.yaml")
    circle, gone = await refusals(tmp_path)
    assert circle.startswith("circle.yaml:1:1  cannot be read: ")
    assert gone == "gone.yaml:1:1  cannot be read: No such file or directory [persona_unreadable]"


async def test_links_within_the_folder_are_followed_as_kubernetes_lays_them(tmp_path: Path) -> None:
    (tmp_path / "..2026_01_01").mkdir()
    write(tmp_path / "..2026_01_01", "anna.yaml", "id: anna\nname: Anna")
    (tmp_path / "..data").symlink_to("..2026_01_01")
    (tmp_path / "anna.yaml").symlink_to("..data/anna.yaml")
    assert "anna" in await personas(tmp_path)


async def test_a_folder_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path / "real", "anna.yaml", "id: anna\nname: Anna")
    (tmp_path / "link").symlink_to("real")
    assert "anna" in await personas(tmp_path / "link")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
async def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    assert await refusals(tmp_path) == ["a.yaml:1:1  is not a file [persona_unreadable]"]


async def test_a_mistake_in_a_file_keeps_the_old_catalogue_until_it_is_mended(tmp_path: Path) -> None:
    live = LiveCatalog(YamlPersonaFiles(tmp_path), InMemoryPersonaRevisions(), InMemoryClock())
    path = write(tmp_path, "anna.yaml", "id: anna\nname: Anna")
    assert await live.reload() == ()
    path.write_text("schema: persona/1\nid: anna\nname: [Anna", encoding="utf-8")
    assert [problem.code for problem in await live.reload()] == ["persona_yaml"]
    assert live.current.get(PersonaId("anna")).persona.name == "Anna"
    write(tmp_path, "anna.yaml", "id: anna\nname: Anne")
    assert await live.reload() == ()
    mended = live.current.get(PersonaId("anna"))
    assert (mended.persona.name, mended.revision) == ("Anne", 2)


async def test_the_example_of_the_reference_is_valid(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "persona.md"
    (tmp_path / "anna.yaml").write_text(
        page.read_text(encoding="utf-8").split("```")[1].removeprefix("yaml\n")
    )
    assert (await personas(tmp_path))["anna"].tools.allow == ("calculator", "clock")
