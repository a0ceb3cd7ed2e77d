"""langchain-openai, unmodified."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import Running, container_for, running, settings_for, with_fake


def model_at(server: Running) -> ChatOpenAI:
    return ChatOpenAI(
        model="default", base_url=server.base_url, api_key=SecretStr("none"), max_retries=0, stream_usage=True
    )


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"snow in {city}"


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


async def test_it_gets_an_answer_with_its_usage(server: Running) -> None:
    answer = await model_at(server).ainvoke([HumanMessage("What is 17 * 23?")])
    assert "391" in str(answer.content)
    assert isinstance(answer, AIMessage)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] > 0


async def test_it_streams(server: Running) -> None:
    pieces = [str(chunk.content) async for chunk in model_at(server).astream("What is 17 * 23?")]
    assert len(pieces) > 2
    assert "391" in "".join(pieces)


async def test_its_tools_go_out_and_come_back(
    tmp_path_factory: pytest.TempPathFactory, fake_openai: FakeOpenAI
) -> None:
    scenario = 'tool?name=weather&args={"city":"Oslo"}'
    settings = with_fake(settings_for(tmp_path_factory.mktemp("data")), fake_openai, scenario)
    async with running(container_for(settings)) as server:
        model = model_at(server).bind_tools([weather])
        asked = HumanMessage("How is Oslo?")
        first = await model.ainvoke([asked])
        assert isinstance(first, AIMessage)
        (call,) = first.tool_calls
        assert (call["name"], call["args"]) == ("weather", {"city": "Oslo"})
        result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
        second = await model.ainvoke([asked, first, result])
    assert "snow in Oslo" in str(second.content)
