"""Where settings come from, which of them win, and how a mistake is told."""

from pathlib import Path

import pytest

from cozy_server.settings import reference
from cozy_server.settings.load import Loaded, SettingsError, load
from cozy_server.settings.secret import Secret
from cozy_server.settings.sources import unknown

ROOT = Path(__file__).parents[3]


def read(
    folder: Path, yaml: str = "", environ: dict[str, str] | None = None, *, development: bool = False
) -> Loaded:
    if yaml:
        (folder / "cozy.yaml").write_text(yaml, encoding="utf-8")
    return load(environ=environ or {}, folder=folder, development=development)


def mistakes(folder: Path, yaml: str = "", environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(folder, yaml, environ)
    return [str(wrong).removeprefix(f"{folder}/") for wrong in caught.value.wrong]


def test_with_nothing_written_every_value_is_a_default(tmp_path: Path) -> None:
    loaded = read(tmp_path)
    assert loaded.settings.server.port == 8000
    assert {loaded.origin(path) for path, _ in loaded.rows()} == {"default"}


def test_each_source_wins_over_those_behind_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COZY_SERVER__PORT=3\nCOZY_SERVER__HOST=dotenv\n")
    (tmp_path / "cozy.yaml").write_text("server: {port: 2, host: file, timezone: Asia/Shanghai}\n")
    loaded = load(
        flags={"--port": (("server", "port"), 5), "--host": (("server", "host"), None)},
        environ={"COZY_SERVER__PORT": "4"},
        folder=tmp_path,
        development=True,
    )
    server = loaded.settings.server
    assert (server.port, server.host, server.timezone) == (5, "dotenv", "Asia/Shanghai")
    assert loaded.origin(("server", "port")) == "command line --port"
    assert loaded.origin(("server", "host")) == ".env COZY_SERVER__HOST"
    assert loaded.origin(("server", "timezone")) == f"{tmp_path}/cozy.yaml:1"


def test_a_dotenv_file_is_for_development_only(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COZY_SERVER__PORT=3\n")
    assert read(tmp_path).settings.server.port == 8000
    assert read(tmp_path, development=True).settings.server.port == 3


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("COZY_MODEL=a/b", "a/b"),
        ("export COZY_MODEL=a/b", "a/b"),
        ("COZY_MODEL = 'a/b'", "a/b"),
        ('COZY_MODEL="a/b"', "a/b"),
        ("COZY_MODEL=a/b # the small one", "a/b"),
        ("# COZY_MODEL=a/b", None),
    ],
)
def test_a_dotenv_line_is_read_as_shells_write_it(tmp_path: Path, line: str, value: str | None) -> None:
    (tmp_path / ".env").write_text(line + "\n")
    assert read(tmp_path, development=True).settings.models.default == value


def test_variables_of_other_programs_stand_behind_our_file(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://other/v1", "DATABASE_URL": "sqlite:///x"}
    loaded = read(tmp_path, "models: {providers: {openai: {base_url: http://ours/v1}}}\n", environ)
    provider = loaded.settings.models.providers["openai"]
    assert provider.base_url == "http://ours/v1"
    assert provider.api_key == Secret("sk-1")
    assert loaded.settings.database.url == Secret("sqlite:///x")
    assert loaded.origin(("database", "url")) == "environment DATABASE_URL"


def test_a_variable_reaches_lists_tables_and_numbers(tmp_path: Path) -> None:
    environ = {
        "COZY_MODELS__ROUTES__FAST": "a/x, b/y",
        "COZY_MODELS__PROVIDERS__LOCAL__BASE_URL": "http://local/v1",
        "COZY_SERVER__KEEP_ALIVE_S": "2.5",
    }
    settings = read(tmp_path, environ=environ).settings
    assert settings.models.routes == {"fast": ("a/x", "b/y")}
    assert settings.models.providers["local"].base_url == "http://local/v1"
    assert settings.server.keep_alive_s == 2.5


def test_short_names_are_as_good_as_the_long_ones(tmp_path: Path) -> None:
    settings = read(tmp_path, environ={"COZY_MODEL": "a/b", "COZY_DATA": "/d"}).settings
    assert (settings.models.default, settings.data.folder) == ("a/b", "/d")


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    environ = {"COZY_MODEL": "", "COZY_SERVER__PORT": "", "OPENAI_API_KEY": ""}
    assert read(tmp_path, environ=environ).settings == read(tmp_path).settings


def test_our_variables_without_a_section_are_somebody_elses(tmp_path: Path) -> None:
    assert read(tmp_path, environ={"COZY_TEST_POSTGRES_URL": "x"}).settings == read(tmp_path).settings


def test_every_mistake_of_a_file_is_told_with_its_line_and_what_was_meant(tmp_path: Path) -> None:
    told = mistakes(
        tmp_path,
        "server:\n  prot: 8000\n  port: 70000\nmodel: {}\nvoice: {speed: 2}\nlimits: 3\naudit:\n  seal_s: soon\n",
    )
    assert told == [
        "cozy.yaml:2  server.prot: is not a setting  did you mean port?",
        "cozy.yaml:4  model: is not a setting  did you mean models?",
        "cozy.yaml:5  voice.speed: is not a setting",
        "cozy.yaml:6  limits: is not a table of keys and values",
        "cozy.yaml:3  server.port: expected `int` <= 65535",
        "cozy.yaml:8  audit.seal_s: expected `float`, got `str`",
    ]


@pytest.mark.parametrize("zone", ["Mars/X", "Asia", "../UTC", "", "a\\0b"])
def test_a_time_zone_that_is_none_is_a_mistake(tmp_path: Path, zone: str) -> None:
    assert mistakes(tmp_path, f'server:\n  timezone: "{zone}"\n') == [
        "cozy.yaml:2  server.timezone: is not an IANA time zone such as Asia/Shanghai"
    ]


@pytest.mark.parametrize(
    "url",
    ["ftp://host/v1", "host/v1", "localhost:11434/v1", "http:///v1", "http://[::1/v1", "http://h:x/v1", ""],
)
def test_an_address_that_cannot_be_called_is_a_mistake(tmp_path: Path, url: str) -> None:
    yaml = f'models:\n  providers:\n    a: {{base_url: "{url}"}}\n'
    told = "models.providers.a.base_url: is not an address that begins with http:// or https:// and a host"
    assert mistakes(tmp_path, yaml) == [f"cozy.yaml:3  {told}"]


@pytest.mark.parametrize("name", ["OPENAI", "ANTHROPIC"])
def test_an_address_of_a_provider_holds_no_password(tmp_path: Path, name: str) -> None:
    (told,) = mistakes(tmp_path, "", {f"{name}_BASE_URL": "http://user:s3cret@host/v1"})
    where = f"environment {name}_BASE_URL  models.providers.{name.lower()}.base_url: "
    assert told.startswith(f"{where}holds a name or a password")
    assert "s3cret" not in told


@pytest.mark.parametrize("key", ["sk-s3crét", "s3cret s3cret", "s3cret\n", "s3cret\x7f"])
def test_a_key_that_no_header_can_carry_is_a_mistake_that_does_not_show_it(tmp_path: Path, key: str) -> None:
    (told,) = mistakes(tmp_path, "", {"OPENAI_API_KEY": key})
    assert told.startswith("environment OPENAI_API_KEY  models.providers.openai.api_key: has a blank")
    assert "s3cr" not in told
    yaml = "models: {providers: {a: {api_key: 'env:A'}}}"
    assert "models.providers.a.api_key: has a blank" in mistakes(tmp_path, yaml, {"A": key})[0]


def test_zones_and_addresses_that_exist_are_taken(tmp_path: Path) -> None:
    yaml = "server: {timezone: Asia/Shanghai}\nmodels: {providers: {a: {base_url: 'HTTPS://[::1]:1/v1'}}}\n"
    settings = read(tmp_path, yaml).settings
    assert settings.server.timezone == "Asia/Shanghai"
    assert settings.models.providers["a"].base_url == "HTTPS://[::1]:1/v1"


def test_a_mistake_is_told_also_where_another_source_wins(tmp_path: Path) -> None:
    environ = {"COZY_SERVER__PORT": "1", "COZY_SERVER__TIMEZONE": "Mars/X"}
    (tmp_path / "cozy.yaml").write_text("server:\n  port: 70000\n  timezone: UTC\n")
    with pytest.raises(SettingsError) as caught:
        load(flags={"--zone": (("server", "timezone"), "UTC")}, environ=environ, folder=tmp_path)
    assert [str(wrong).removeprefix(f"{tmp_path}/") for wrong in caught.value.wrong] == [
        "cozy.yaml:2  server.port: expected `int` <= 65535",
        "environment COZY_SERVER__TIMEZONE  server.timezone: is not an IANA time zone such as Asia/Shanghai",
    ]


def test_what_other_programs_say_is_checked_only_where_it_holds(tmp_path: Path) -> None:
    environ = {"OPENAI_BASE_URL": "unix:/run/theirs"}
    (mistake,) = mistakes(tmp_path, environ=environ)
    assert mistake.startswith(
        "environment OPENAI_BASE_URL  models.providers.openai.base_url: is not an address"
    )
    loaded = read(tmp_path, "models: {providers: {openai: {base_url: 'http://ours/v1'}}}\n", environ)
    assert loaded.settings.models.providers["openai"].base_url == "http://ours/v1"


def test_a_reference_is_followed_only_where_it_holds(tmp_path: Path) -> None:
    environ = {"COZY_AUDIT__KEY": "mine"}
    settings = read(tmp_path, "audit: {key: 'file:/only/in/production'}\n", environ).settings
    assert settings.audit.key == Secret("mine")


def test_a_key_written_twice_is_a_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "server:\n  port: 1\n  port: 2\n") == [
        "cozy.yaml:3  server.port: is written twice"
    ]


def test_a_file_that_is_no_yaml_is_told_with_its_place(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "server: [1\nport")[0].startswith("cozy.yaml:2:5  is not YAML:")


def test_a_mistyped_variable_is_told_with_what_was_meant(tmp_path: Path) -> None:
    assert mistakes(tmp_path, environ={"COZY_SERVER__PROT": "1", "COZY_SERVER__PORT__X": "1"}) == [
        "environment COZY_SERVER__PROT  is not a setting  did you mean COZY_SERVER__PORT?",
        "environment COZY_SERVER__PORT__X  is not a setting",
    ]


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(config=str(tmp_path / "none.yaml"), environ={}, folder=tmp_path)


def test_a_secret_does_not_show_itself(tmp_path: Path) -> None:
    loaded = read(tmp_path, environ={"OPENAI_API_KEY": "sk-very-secret"})
    assert "sk-very-secret" not in f"{loaded!r} {loaded.settings} {loaded.rows()}"
    key = loaded.settings.models.providers["openai"].api_key
    assert key is not None
    assert key.reveal() == "sk-very-secret"


def test_a_secret_may_be_a_reference(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    environ = {
        "COZY_MODELS__PROVIDERS__A__API_KEY": "env:MINE",
        "COZY_MODELS__PROVIDERS__B__API_KEY": f"file:{tmp_path}/key",
        "MINE": "from-env",
    }
    providers = read(tmp_path, environ=environ).settings.models.providers
    assert providers["a"].api_key == Secret("from-env")
    assert providers["b"].api_key == Secret("from-file")


def test_a_reference_to_nothing_is_a_mistake_that_shows_no_secret(tmp_path: Path) -> None:
    yaml = "audit: {key: 'env:NONE'}\ndatabase: {url: 'file:/nowhere'}\n"
    assert mistakes(tmp_path, yaml) == [
        "cozy.yaml:1  audit.key: there is no environment variable NONE",
        "cozy.yaml:2  database.url: the file /nowhere cannot be read (FileNotFoundError)",
    ]


def test_every_value_in_force_can_be_listed(tmp_path: Path) -> None:
    paths = [path for path, _ in read(tmp_path, environ={"OPENAI_API_KEY": "k"}).rows()]
    assert ("models", "providers", "openai", "kind") in paths
    assert ("server", "port") in paths
    assert len(paths) == len(set(paths))


def test_the_reference_page_is_fresh() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert page == reference.markdown(), (
        "run: python -m cozy_server.settings.reference > docs/reference/settings.md"
    )


def test_every_setting_stands_in_the_reference_with_its_variable() -> None:
    page = reference.markdown()
    assert "`COZY_MODELS__PROVIDERS__<NAME>__API_KEY`" in page
    assert "`COZY_AUDIT__SEAL_S`" in page
    assert "One of `debug`, `info`, `warning`, `error`." in page


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("COZY_MODLE", "COZY_MODEL"),
        ("COZY_SERVER_PORT", "COZY_SERVER__PORT"),
        ("COZY_PERSONAS_FOLDER", "COZY_PERSONAS__FOLDER"),
        ("COZY_FOO", None),
    ],
)
def test_a_variable_that_only_looks_like_ours_is_told(name: str, suggestion: str | None) -> None:
    (told,) = unknown({name: "1"})
    assert str(told).startswith(f"variable {name}  is not a setting")
    assert told.suggestion == suggestion


@pytest.mark.parametrize("name", ["COZY_MODEL", "COZY_DATA", "COZY_SERVER__PORT", "OPENAI_API_KEY", "PATH"])
def test_our_own_variables_and_those_of_others_are_not(name: str) -> None:
    assert list(unknown({name: "1"})) == []


# MCP servers

FILES = """
tools:
  mcp:
    files:
      command: [uvx, some-server, /srv]
      env: {TOKEN: "env:FILES_TOKEN"}
      effects: {read.file: read}
    search:
      url: https://example.org/mcp?key=s3cret
      headers: {Authorization: Bearer s3cret}
"""


def test_an_mcp_server_is_a_program_or_an_address(tmp_path: Path) -> None:
    loaded = read(tmp_path, FILES, {"FILES_TOKEN": "t0ken"})
    servers = loaded.settings.tools.mcp
    assert servers["files"].command == ("uvx", "some-server", "/srv")
    assert servers["files"].env == {"TOKEN": Secret("t0ken")}
    assert (servers["files"].effect, servers["files"].effects) == ("write", {"read.file": "read"})
    assert servers["search"].headers == {"Authorization": Secret("Bearer s3cret")}
    assert "s3cret" not in repr(loaded)
    assert "t0ken" not in repr(loaded)


@pytest.mark.parametrize(
    "key", ["COMMAND", "CWD", "ENV__LD_PRELOAD", "URL", "HEADERS__X", "NONSENSE", "EFFECT"]
)
@pytest.mark.parametrize("dotenv", [True, False])
def test_an_mcp_server_is_never_taken_from_the_environment(tmp_path: Path, key: str, dotenv: bool) -> None:
    name = f"COZY_TOOLS__MCP__FILES__{key}"
    if dotenv:
        (tmp_path / ".env").write_text(f"{name}=sh,-c,id\n")
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, FILES, {} if dotenv else {name: "sh,-c,id"}, development=True)
    place = ".env" if dotenv else "environment"
    told = "tools.mcp can be written in the configuration file only; a secret there may be env:NAME"
    assert f"{place} {name}  {told}" in str(caught.value)


def test_the_table_of_mcp_servers_is_not_taken_from_the_environment_either(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, "", {"COZY_TOOLS__MCP": "{}"})
    assert "configuration file only" in told


def test_the_whole_section_with_the_mcp_servers_is_refused_in_the_environment_too(tmp_path: Path) -> None:
    variables = {"COZY_TOOLS": '{"mcp": {"files": {"command": ["sh"]}}}'}
    assert mistakes(tmp_path, "", variables) == [
        "environment COZY_TOOLS  is a section, not a setting; tools.mcp can be written in the configuration file only"
    ]
    assert list(unknown(variables)) == []


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("Files: {command: [x]}", "Files: a name has 1 to 32 lower-case letters, digits and -"),
        ("a__b: {command: [x]}", "a__b: a name has"),
        ("a: {effect: read}", "a: needs either command (a program of this machine) or url (an address)"),
        ("a: {command: [x], url: 'http://h/mcp'}", "a: needs either command"),
        ("a: {command: []}", "a: needs either command"),
        ("a: {url: 'ftp://h/mcp'}", "a.url: is not an address that begins with http:// or https://"),
        ("a: {url: 'https://me:pw@h/mcp'}", "a.url: is not an address"),
        ("a: {command: [x], headers: {b: c}}", "a.headers: are for a url"),
        ("a: {url: 'http://h', env: {b: c}}", "a.env: is for a command"),
        ("a: {url: 'http://h', cwd: /}", "a.cwd: is for a command"),
    ],
)
def test_an_mcp_server_that_makes_no_sense_is_a_mistake_with_its_line(
    tmp_path: Path, server: str, told: str
) -> None:
    (line,) = mistakes(tmp_path, f"tools:\n  mcp:\n    {server}\n")
    assert line.startswith(f"cozy.yaml:3  tools.mcp.{told}")
    assert "pw" not in line


def test_a_slip_in_the_section_of_a_variable_suggests_the_whole_name(tmp_path: Path) -> None:
    variables = {"COZY_PERSONA__FOLDER": "x", "COZY_SERVR__PROT": "1", "COZY_ZZZZ__X": "1"}
    assert mistakes(tmp_path, environ=variables) == [
        "environment COZY_PERSONA__FOLDER  is not a setting  did you mean COZY_PERSONAS__FOLDER?",
        "environment COZY_SERVR__PROT  is not a setting  did you mean COZY_SERVER__PORT?",
        "environment COZY_ZZZZ__X  is not a setting",
    ]


def test_a_word_that_a_setting_does_not_know_is_told_with_those_that_it_does(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "telemetry: {log_level: inof}") == [
        "cozy.yaml:1  telemetry.log_level: must be one of debug, info, warning, error  did you mean info?"
    ]
    (kind,) = mistakes(tmp_path, "models: {providers: {a: {kind: llama.cpp}}}")
    assert kind.endswith("models.providers.a.kind: must be one of openai, anthropic, offline")


def test_mistakes_in_yaml_that_are_often_made_say_what_is_meant(tmp_path: Path) -> None:
    assert "did you mean quotes around" in mistakes(tmp_path, "server: host: x")[0]
    assert "did you mean spaces instead of a tab?" in mistakes(tmp_path, "server:\n\tport: 1")[0]
