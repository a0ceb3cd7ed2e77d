"""The audit key: where it comes from, and who may read it."""

import stat
import subprocess
from pathlib import Path

import pytest

from cozy_domain.errors import ConfigError
from cozy_server.data_folder import audit_key, database_file, missing_store, postgres_url, prepare
from cozy_server.settings.secret import Secret
from cozy_server.settings.tree import AuditSettings, DatabaseSettings, DataSettings, Settings

HEX = "0123456789abcdef" * 4


def in_folder(folder: Path, key: str | None = None) -> Settings:
    return Settings(
        data=DataSettings(folder=str(folder)), audit=AuditSettings(key=Secret(key) if key else None)
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_generated_key_is_random_kept_and_its_owners_alone(tmp_path: Path) -> None:
    first = audit_key(in_folder(tmp_path / "one"), generate=True)
    assert len(first) == 32
    assert first == audit_key(in_folder(tmp_path / "one"), generate=True)
    assert first == audit_key(in_folder(tmp_path / "one"), generate=False)
    assert first != audit_key(in_folder(tmp_path / "two"), generate=True)
    assert mode(tmp_path / "one") == 0o700
    assert mode(tmp_path / "one" / "audit.key") == 0o600
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["audit.key"]


def test_the_settings_win_over_the_folder(tmp_path: Path) -> None:
    audit_key(in_folder(tmp_path), generate=True)
    assert audit_key(in_folder(tmp_path, HEX), generate=True) == bytes.fromhex(HEX)


def test_without_a_key_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        audit_key(in_folder(tmp_path), generate=False)
    assert caught.value.hint is not None
    assert "openssl rand -hex 32" in caught.value.hint
    assert not (tmp_path / "audit.key").exists()


@pytest.mark.parametrize("name", ["new/folder", "it's a folder"])
def test_the_way_to_make_a_key_works_as_it_is_written(tmp_path: Path, name: str) -> None:
    settings = in_folder(tmp_path / name)
    with pytest.raises(ConfigError) as caught:
        audit_key(settings, generate=False)
    written = (caught.value.hint or "").split("`")[1]
    # Without openssl: not every machine has it.
    subprocess.run(["sh", "-c", written.replace("openssl rand -hex 32", f"echo {HEX}")], check=True)
    assert audit_key(settings, generate=False) == bytes.fromhex(HEX)
    assert mode(tmp_path / name) == 0o700
    assert mode(tmp_path / name / "audit.key") == 0o600


@pytest.mark.parametrize("key", ["short", "g" * 64, HEX + "0"])
def test_a_key_of_another_form_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        audit_key(in_folder(tmp_path, key), generate=False)
    assert "64 hex digits" in str(caught.value)
    assert key not in str(caught.value)


def test_a_key_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "audit.key").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        audit_key(in_folder(tmp_path), generate=False)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        prepare(tmp_path / "file" / "below")


def test_the_store_is_a_file_of_the_folder_or_the_one_that_is_named(tmp_path: Path) -> None:
    assert database_file(in_folder(tmp_path)) == tmp_path / "cozy.db"
    named = Settings(database=DatabaseSettings(url=Secret("sqlite:////var/lib/cozy.db")))
    assert database_file(named) == Path("/var/lib/cozy.db")


def test_another_kind_of_store_is_refused_without_showing_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        database_file(Settings(database=DatabaseSettings(url=Secret("mysql://u:canary@h/d"))))
    assert "canary" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("url", ["postgresql://u:p@h/d", "postgres://h"])
def test_a_postgres_is_no_file_and_may_be_there(url: str) -> None:
    settings = Settings(database=DatabaseSettings(url=Secret(url)))
    assert postgres_url(settings) == url
    assert missing_store(settings) is None


def test_a_file_that_is_not_there_is_missed(tmp_path: Path) -> None:
    settings = in_folder(tmp_path)
    assert postgres_url(settings) is None
    assert missing_store(settings) == tmp_path / "cozy.db"
    (tmp_path / "cozy.db").touch()
    assert missing_store(settings) is None


def test_a_file_in_the_place_of_the_data_folder_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match="it is a file, not a folder"):
        prepare(tmp_path / "data")
