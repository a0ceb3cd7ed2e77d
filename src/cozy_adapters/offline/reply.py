"""What the offline model answers: words, or calls of tools (pure).

What it can do itself it does with the tools it was offered; what it cannot, it says. The first answer of a conversation
ends with saying that no AI is speaking. Who greets is greeted in the persona's words, as far as they are in his language.
"""

from hashlib import sha256

import msgspec
from msgspec.structs import replace

from cozy_adapters.offline import names, questions
from cozy_adapters.offline.dates import in_chinese
from cozy_adapters.offline.reading import Ran, Seen, read, sentences
from cozy_adapters.offline.words import CHINESE, SPOKEN, Language, Words
from cozy_domain.messages import ToolCall
from cozy_domain.models.request import ModelRequest

CALCULATOR = "calculator"
CLOCK = "clock"
LONGEST_ECHO = 200
"""Characters of a statement that is worth saying back."""


class Reply(msgspec.Struct, frozen=True):
    """Either ``text`` or ``calls``."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


class _Arguments(msgspec.Struct, frozen=True):
    expression: str = ""
    timezone: str = ""


def reply(request: ModelRequest) -> Reply:
    seen = read(request)
    if calls := _calls(request, seen):
        return Reply(calls=calls)
    language = questions.language_of((seen.question, *reversed(seen.told)))
    words = SPOKEN[language]
    if seen.greeting:
        seen = _greeting_in(language, seen, seen.greeting)
    return Reply(text=_introduced(seen, words, _answer(seen, words)))


def _calls(request: ModelRequest, seen: Seen) -> tuple[ToolCall, ...]:
    """What is still to be asked of tools; a forced choice is obeyed once."""
    offered = _offered(request)
    done = {ran.call.name for ran in seen.ran}
    needed = [(name, text) for name, text in _needed(seen) if name in offered and name not in done]
    if not needed and request.tool_choice.mode == "required" and offered and not done:
        needed = [(offered[0], "{}")]
    if request.parallel_tool_calls is False:
        needed = needed[:1]
    seed = sha256(msgspec.json.encode(request.messages)).hexdigest()[:24]
    return tuple(ToolCall(f"call_{seed}{at}", name, text) for at, (name, text) in enumerate(needed))


def _offered(request: ModelRequest) -> tuple[str, ...]:
    choice = request.tool_choice
    if choice.mode == "none":
        return ()
    return tuple(tool.name for tool in request.tools if not choice.names or tool.name in choice.names)


def _needed(seen: Seen) -> list[tuple[str, str]]:
    """The tools that the question needs, each with its arguments."""
    needed = []
    expression = questions.sum_asked(seen.question)
    if expression is not None:
        needed.append((CALCULATOR, _json(_Arguments(expression=expression))))
    zone = questions.time_asked(seen.question)
    if zone is not None:
        needed.append((CLOCK, _json(_Arguments(timezone=zone))))
    return needed


def _json(arguments: _Arguments) -> str:
    filled = {name: value for name, value in msgspec.structs.asdict(arguments).items() if value}
    return msgspec.json.encode(filled).decode()


def _greeting_in(language: Language, seen: Seen, greeting: str) -> Seen:
    """With the sentences of ``greeting`` that are in ``language``: a persona may greet in two, and then has told its name
    in both."""
    own = " ".join(it for it in sentences(greeting) if questions.language_of((it,)) == language)
    named = seen.persona is not None and seen.persona in greeting
    return replace(seen, greeting=own or None, persona=None if own and named else seen.persona)


def _introduced(seen: Seen, words: Words, answer: str) -> str:
    if not seen.first:
        return answer
    plain = answer == words.honest or answer.endswith(words.stand_in)
    notice = "" if plain else words.notice
    return "\n\n".join(part for part in (answer, notice) if part)


def _answer(seen: Seen, words: Words) -> str:
    if seen.ran:
        return "\n".join(_told(ran, words) for ran in seen.ran)
    if questions.asks_identity(seen.question):
        return _identity(seen, words)
    if questions.asks_nature(seen.question):
        return words.honest
    if questions.greets(seen.question) or not seen.question:
        return seen.greeting or words.hello
    zone = questions.time_asked(seen.question)
    if zone is not None:
        return _time(seen.now, words) if seen.now and not zone else words.no_clock
    if questions.sum_asked(seen.question) is not None:
        return words.no_calculator
    return _recalled(seen, words)


def _identity(seen: Seen, words: Words) -> str:
    """The persona greets by name, and what speaks for it is named too."""
    greeting = seen.greeting or words.hello
    parts = [greeting]
    if seen.persona and seen.persona not in greeting:
        parts.append(words.persona.format(seen.persona))
    return "\n\n".join((*parts, words.stand_in))


def _time(told: str, words: Words) -> str:
    return words.time.format(in_chinese(told) if words is CHINESE else told)


def _told(ran: Ran, words: Words) -> str:
    if ran.call.name == CALCULATOR:
        return words.computed.format(_expression(ran.call), ran.result)
    if ran.call.name == CLOCK:
        return _time(ran.result, words)
    return words.said.format(ran.call.name, ran.result)


def _expression(call: ToolCall) -> str:
    try:
        return msgspec.json.decode(call.arguments, type=_Arguments).expression
    except msgspec.MsgspecError:
        return call.name


def _recalled(seen: Seen, words: Words) -> str:
    """What was said earlier in the conversation goes before what the context remembers: it is newer."""
    if questions.asks_name(seen.question):
        return _name(seen, words)
    if not questions.is_question(seen.question):
        return words.noted.format(seen.question) if len(seen.question) <= LONGEST_ECHO else words.lost
    if told := questions.best_match(seen.question, seen.told):
        return words.recalled.format(told)
    if fact := questions.best_match(seen.question, seen.facts):
        return words.remembered.format(fact)
    if not questions.asks_about_self(seen.question):
        return words.lost
    told = questions.best_match(seen.question, seen.told, near=0)
    return words.recalled.format(told) if told else words.not_told


def _name(seen: Seen, words: Words) -> str:
    if name := names.name_in(seen.told):
        return words.name.format(name)
    if said := names.said_to_be(seen.told):
        return words.said_to_be.format(said)
    if name := names.name_in(seen.facts):
        return words.name.format(name)
    told = names.near_a_name(seen.told)
    return words.recalled.format(told) if told else words.no_name
