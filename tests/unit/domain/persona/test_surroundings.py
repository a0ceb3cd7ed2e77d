"""What a persona names that its server lacks."""

import pytest

from cozy_domain.persona.document import Problem
from cozy_domain.persona.resolve import examine
from cozy_domain.persona.surroundings import Surroundings
from tests.unit.domain.persona.written import document

SERVER = Surroundings(
    tools=("calculator", "clock"),
    aliases=("fast",),
    providers=("openai", "offline"),
    models=("large",),
    absent=("ollama",),
    servers=("files",),
)


def lacking(**content: object) -> tuple[Problem, ...]:
    return examine([document("anna", "", **content)], around=SERVER).problems


@pytest.mark.parametrize(
    "route", ["fast", "large", "openai/anything", "openai/org/any", "offline/offline", None]
)
def test_a_route_that_leads_somewhere_is_fine(route: str | None) -> None:
    assert lacking(model={"route": route, "fallbacks": ["fast", "openai/x"]}) == ()


@pytest.mark.parametrize(
    ("route", "told", "suggestion"),
    [
        ("fasst", "'fasst' is neither an alias nor written provider/id", "fast"),
        ("gpt", "'gpt' is neither an alias nor written provider/id", ""),
        ("opneai/x/y", "there is no provider 'opneai'; there are: openai, offline", "openai/x/y"),
        ("mistral/x", "there is no provider 'mistral'; there are: openai, offline", ""),
    ],
)
def test_a_route_that_leads_nowhere_is_an_error(route: str, told: str, suggestion: str) -> None:
    (problem,) = lacking(model={"route": route})
    assert (problem.field, problem.message, problem.suggestion) == ("model.route", told, suggestion)
    assert (problem.code, problem.severity) == ("persona_model_route", "error")


def test_so_is_a_fallback_that_leads_nowhere() -> None:
    (problem,) = lacking(model={"fallbacks": ["fast", "nonsense"]})
    assert (problem.field, problem.code) == ("model.fallbacks[1]", "persona_model_fallbacks")
    assert problem.severity == "error"


def test_a_provider_that_does_not_run_yet_is_a_warning() -> None:
    (problem,) = lacking(model={"route": "ollama/x"})
    assert (problem.message, problem.severity) == ("the provider 'ollama' does not run", "warning")


@pytest.mark.parametrize("field", ["allow", "deny", "approval", "when_tainted", "cancel_on_barge_in"])
def test_an_unknown_tool_is_a_warning_with_the_nearest_name(field: str) -> None:
    (problem,) = lacking(tools={field: ["clock", "calculater"]})
    assert str(problem).partition("  ")[2] == (
        f"tools.{field}[1]: there is no tool 'calculater' [persona_tool]  did you mean calculator?"
    )
    assert problem.severity == "warning"


def test_so_is_a_limit_of_an_unknown_tool() -> None:
    (problem,) = lacking(tools={"limits": {"zzz": 1, "clock": 1}})
    assert (problem.field, problem.suggestion) == ("tools.limits.zzz", "")


def test_a_tool_of_an_mcp_server_may_come_when_it_is_connected() -> None:
    assert lacking(tools={"allow": ["files__read"], "limits": {"files__read": 1}, "mcp": ["files"]}) == ()


def test_a_tool_of_a_server_that_is_not_there_is_a_warning() -> None:
    (problem,) = lacking(tools={"allow": ["mail__send"]})
    assert (problem.field, problem.message) == ("tools.allow[0]", "there is no tool 'mail__send'")


def test_an_unknown_mcp_server_is_a_warning_with_the_nearest_name() -> None:
    (problem,) = lacking(tools={"mcp": ["files", "fils"]})
    assert (problem.field, problem.severity, problem.suggestion) == ("tools.mcp[1]", "warning", "files")
    assert problem.message == "there is no MCP server 'fils' in the settings"


def test_where_nothing_is_known_of_the_server_nothing_is_lacking() -> None:
    written = document(model={"route": "opneai/x"}, tools={"allow": ["calculater"]})
    assert examine([written]).problems == ()
