"""Providers are found by keys in the environment, and by an Ollama that listens."""

import asyncio
import socket

import pytest

from cozy_adapters.openai.discovery import Discovered, dialect_of, discover, ollama_url
from cozy_adapters.openai.wire import COMPATIBLE, OPENAI
from tests.fixtures.fake_openai import FakeOpenAI

pytest_plugins = ["tests.fixtures.fake_openai.plugin"]


@pytest.fixture
def nowhere() -> str:
    """An address on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


def named(found: tuple[Discovered, ...]) -> list[tuple[str, str, str | None]]:
    return [(one.provider, one.found, one.problem) for one in found]


async def test_a_key_is_a_provider(nowhere: str) -> None:
    openai, ollama = await discover({"OPENAI_API_KEY": " sk-1 ", "OLLAMA_HOST": nowhere})
    assert (openai.provider, openai.found, openai.base_url, openai.api_key) == (
        "openai",
        "OPENAI_API_KEY",
        None,
        "sk-1",
    )
    assert ollama.problem == f"nothing listens on {nowhere}"


async def test_a_base_url_alone_is_a_provider_that_needs_no_key(
    nowhere: str, fake_openai: FakeOpenAI
) -> None:
    (openai, _) = await discover({"OPENAI_BASE_URL": fake_openai.base_url, "OLLAMA_HOST": nowhere})
    assert (openai.found, openai.problem) == ("OPENAI_BASE_URL", None)
    model = openai.language_model()
    assert "ok" in await model.list_models()
    await model.aclose()


async def test_an_ollama_that_listens_is_found_and_asked_for_its_models(fake_openai: FakeOpenAI) -> None:
    (ollama,) = await discover({"OLLAMA_HOST": f"127.0.0.1:{fake_openai.port}"})
    assert named((ollama,)) == [("ollama", f"Ollama on 127.0.0.1:{fake_openai.port}", None)]
    model = ollama.language_model()
    assert "ok" in await model.list_models()
    await model.aclose()


@pytest.mark.parametrize("host", ["box:abc", "box:99999", "[::1"])
async def test_what_is_no_address_is_told(host: str) -> None:
    assert named(await discover({"OLLAMA_HOST": host})) == [
        ("ollama", "OLLAMA_HOST", f"'{host}' is no address")
    ]


async def test_a_host_that_swallows_the_connect_holds_up_nobody() -> None:
    before = asyncio.get_running_loop().time()
    (ollama,) = await discover({"OLLAMA_HOST": "192.0.2.1"})  # RFC 5737: routed to nobody
    assert ollama.problem == "nothing listens on 192.0.2.1:11434"
    assert asyncio.get_running_loop().time() - before < 30  # the system itself gives up after two minutes


async def test_keys_are_not_shown() -> None:
    assert "sk-canary" not in repr(Discovered("openai", "OPENAI_API_KEY", None, "sk-canary"))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104  # what Ollama's own manual says to write
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("box", "http://box:11434"),
        ("box:99", "http://box:99"),
        (":99", "http://127.0.0.1:99"),
        ("http://box", "http://box:80"),
        ("https://box/ollama/", "https://box:443/ollama"),
        ("[::]:99", "http://[::1]:99"),
        ("[::1]", "http://[::1]:11434"),
    ],
)
def test_the_host_is_read_as_ollama_reads_it(host: str, url: str) -> None:
    assert ollama_url(host) == url


@pytest.mark.parametrize(
    ("url", "own"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("http://127.0.0.1:1/v1", False),
        ("https://api.openai.com.evil.example/v1", False),
    ],
)
def test_only_openai_itself_is_spoken_to_in_its_own_dialect(url: str | None, own: bool) -> None:
    assert dialect_of(url) == (OPENAI if own else COMPATIBLE)
