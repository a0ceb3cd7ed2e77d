"""What tells how the parts are."""

from collections.abc import Callable, Mapping

from cozy_domain.chat.generate import Generation
from cozy_domain.context.assembly import ContextAssembly
from cozy_domain.embedding import Embedding
from cozy_domain.routing.circuit import Circuit
from cozy_domain.routing.switchover import Switchover
from cozy_domain.speech.ports import SpeechToText, TextToSpeech
from cozy_server.model_choice import LiveConfiguration
from cozy_server.persona_reload import PersonaReload
from cozy_server.throttle.shared import SharedLimits

REDIS = "redis"
"""Its name among the breakers."""


def circuits(
    generation: Generation,
    assembly: ContextAssembly,
    embedding: Embedding,
    voices: Switchover[TextToSpeech],
    recognisers: Switchover[SpeechToText],
    shared: SharedLimits | None,
) -> Callable[[], Mapping[str, Circuit]]:
    return lambda: {
        **({REDIS: shared.circuit} if shared else {}),
        **{str(model): circuit for model, circuit in embedding.circuits().items()},
        **{str(model): circuit for model, circuit in generation.circuits().items()},
        **{str(engine): circuit for engine, circuit in assembly.circuits().items()},
        **{f"voice {name}": circuit for name, circuit in voices.circuits().items()},
        **{f"recogniser {name}": circuit for name, circuit in recognisers.circuits().items()},
    }


def short_of(configuration: LiveConfiguration, personas: PersonaReload) -> Callable[[], bool]:
    return lambda: configuration.standing_in or personas.refused
