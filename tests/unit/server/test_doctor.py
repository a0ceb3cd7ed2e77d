"""What `cozy doctor` says about what it finds, in both languages."""

import stat
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from cozy_adapters.sql.maintenance import StoreState
from cozy_server.cli.doctor import machine, models, store
from cozy_server.cli.doctor.command import as_line, as_row
from cozy_server.cli.doctor.finding import Finding, fail, ok
from cozy_server.cli.doctor.places import shown
from cozy_server.cli.doctor.words import WORDS
from cozy_server.settings.load import Loaded, load
from cozy_server.settings.secret import Secret
from cozy_server.settings.tree import (
    DatabaseSettings,
    ModelSettings,
    ProviderSettings,
    RedisSettings,
    Settings,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
WHOLE = StoreState("sqlite", "cozy.db", "3.45", "0007", head="0007", checked=True)


def codes(*findings: Finding) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in findings]


def test_all_is_said_in_both_languages_with_the_same_values() -> None:
    for code, said in WORDS.items():
        for en, zh in zip(said.en, said.zh, strict=True):
            assert bool(en) == bool(zh), code
            assert fields(en) == fields(zh), code


def fields(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


def test_a_line_has_level_check_cause_fix_and_where_it_is_written() -> None:
    found = fail("database", "store_unusable", "cozy.yaml:12", told="db:5432: connection refused")
    assert as_line(found, "en") == (
        "FAIL database  db:5432: connection refused"
        "  → Start it, or correct database.url (COZY_DATABASE__URL). (from cozy.yaml:12)"
    )
    assert as_line(found, "zh").endswith("（COZY_DATABASE__URL）。 (来自 cozy.yaml:12)")
    assert (
        as_line(ok("redis", "redis_none"), "en")
        == "OK   redis     not configured: limits are each process's own"
    )
    assert as_row(found, "en")["origin"] == "cozy.yaml:12"
    assert as_row(fail("data", "folder_unusable", "default", folder="x"), "en")["origin"] is None


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (WHOLE, ("ok", "store_ok")),
        (replace(WHOLE, in_use=True), ("ok", "store_served")),
        (replace(WHOLE, exists=False), ("ok", "store_none")),
        (replace(WHOLE, revision="0001"), ("warn", "store_behind")),
        (replace(WHOLE, revision=None), ("warn", "store_behind")),
        (replace(WHOLE, damage=("page 7",)), ("fail", "store_damaged")),
        (replace(WHOLE, checked=False), ("warn", "store_unchecked")),
        (replace(WHOLE, kind="postgres", checked=False), ("ok", "store_ok")),
    ],
)
def test_the_state_of_a_store_means(state: StoreState, code: tuple[str, str]) -> None:
    found = store.of_state(state)
    assert codes(found) == [code]
    assert found.cause("en")
    assert found.cause("zh")


@pytest.mark.parametrize(
    ("version", "code"),
    [((3, 11, 0), "python_ok"), ((3, 13, 9), "python_ok"), ((3, 14, 0), "python_unsupported")],
)
def test_pythons_that_are_supported(version: tuple[int, ...], code: str) -> None:
    assert [it.code for it in machine.python(version)] == [code]


@pytest.mark.parametrize(
    ("now", "newest", "code"),
    [
        (NOW, None, "clock_ok"),
        (NOW, NOW + timedelta(seconds=5), "clock_ok"),
        (NOW, NOW + timedelta(seconds=6), "clock_behind"),
        (datetime(2025, 12, 31, tzinfo=UTC), None, "clock_wrong"),
    ],
)
def test_a_clock_that_cannot_be_right_is_noticed(now: datetime, newest: datetime | None, code: str) -> None:
    assert [it.code for it in machine.clock(now, newest)] == [code]


def loaded_in(folder: Path, **variables: str) -> Loaded:
    return load(environ={"COZY_DATA": str(folder), **variables}, folder=folder)


def test_the_data_folder_is_the_owners_alone_and_can_be_written(tmp_path: Path) -> None:
    assert [it.code for it in machine.data_folder(loaded_in(tmp_path / "none"))] == ["folder_missing"]
    tmp_path.chmod(0o755)
    opened, _ = machine.data_folder(loaded_in(tmp_path))
    assert (opened.code, opened.values["mode"], opened.origin) == (
        "folder_open",
        "755",
        "environment COZY_DATA",
    )
    tmp_path.chmod(0o700)
    assert len(list(machine.data_folder(loaded_in(tmp_path)))) == 1
    file = tmp_path / "file"
    file.touch()
    assert [it.code for it in machine.data_folder(loaded_in(file))] == ["folder_unusable"]


def test_an_audit_key_is_there_whole_and_secret(tmp_path: Path) -> None:
    loaded = loaded_in(tmp_path)
    key = tmp_path / "audit.key"
    empty, used = store.Known(), store.Known(exists=True, newest=NOW)
    assert codes(*store.audit(loaded, empty)) == [("warn", "audit_key_none")]
    assert codes(*store.audit(loaded, used)) == [("fail", "audit_key_lost")]
    key.write_text("nonsense")
    assert codes(*store.audit(loaded, used)) == [("fail", "audit_key_wrong")]
    key.write_text("ab" * 32)
    key.chmod(0o644)
    assert codes(*store.audit(loaded, used)) == [("warn", "audit_key_open")]
    key.chmod(stat.S_IRUSR)
    assert codes(*store.audit(loaded, used)) == [("ok", "audit_key_ok")]


@pytest.mark.parametrize(
    ("host", "keys", "codes"),
    [
        ("127.0.0.1", 0, ["bind_ok"]),
        ("0.0.0.0", 2, ["bind_public"]),  # noqa: S104  # what is looked for
        ("0.0.0.0", 0, ["bind_open"]),  # noqa: S104  # as above
    ],
)
def test_a_public_address_needs_a_key(tmp_path: Path, host: str, keys: int, codes: list[str]) -> None:
    loaded = loaded_in(tmp_path, COZY_SERVER__HOST=host, COZY_SERVER__PORT="0")
    assert [it.code for it in machine.address(loaded, keys) if it.check == "address"] == codes


def test_whom_the_server_calls_is_listed_without_secrets() -> None:
    settings = Settings(
        database=DatabaseSettings(url=Secret("postgresql://cozy:secret@db/cozy")),
        redis=RedisSettings(url=Secret("redis://:secret@cache:6380/0")),
        models=ModelSettings(
            providers={
                "openai": ProviderSettings(),
                "anthropic": ProviderSettings(),
                "own": ProviderSettings(base_url="http://user:secret@10.0.0.1:8001/v1"),
                "none": ProviderSettings(kind="offline"),
            }
        ),
    )
    (found,) = models.egress(settings)
    assert found.cause("en") == (
        "the server may call: api.openai.com, api.anthropic.com, 10.0.0.1:8001, db:5432, cache:6380"
    )
    assert [it.code for it in models.egress(Settings())] == ["egress_none"]


@pytest.mark.parametrize("name", ["redis", "mcp", "otel", "postgres", "gw"])
def test_a_provider_that_is_called_like_an_extra_needs_no_more_than_another(
    tmp_path: Path, name: str
) -> None:
    variables = {f"COZY_MODELS__PROVIDERS__{name.upper()}__BASE_URL": "http://127.0.0.1:1/v1"}
    needed = [it.values["extra"] for it in machine.needed(loaded_in(tmp_path, **variables))]
    assert needed == ["openai"]


def test_an_address_that_is_none_shows_nothing() -> None:
    assert shown("redis://:secret@[::1") == "?"
