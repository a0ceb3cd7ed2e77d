"""Where a call is put together."""

import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from cozy_adapters.clock import SystemClock
from cozy_adapters.files.recordings import Recordings
from cozy_adapters.inmemory.simulated import Simulation as Simulation  # for the command line
from cozy_adapters.inmemory.speech import LoudnessVoiceActivity
from cozy_adapters.silero import SileroVoiceActivity, installed
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.clock import Clock
from cozy_domain.ids import Ids
from cozy_domain.routing.choice import Snapshot
from cozy_domain.routing.switchover import Switchover
from cozy_domain.sessions.ports import TurnHistory
from cozy_domain.speech.listen import Listening
from cozy_domain.speech.ports import SpeechToText, TextToSpeech, VoiceActivity
from cozy_domain.speech.speak import Speaking, SpeakingDeadlines
from cozy_domain.speech.transcribe import Transcribing
from cozy_domain.voice.calling import Calling, CallingParts
from cozy_domain.voice.policy import DEFAULT, S, VoiceProfile
from cozy_domain.voice.ports import PeerConnections, PlacedCalls
from cozy_domain.voice.seats import SeatLimits
from cozy_server.container.installed import is_installed
from cozy_server.settings.tree import IceServerSettings, VoiceSettings

EACH = 3
"""Calls of one owner at once with ``cozy serve`` (settled question 2)."""
SEGMENTS_EACH = 4
"""Pieces of speech that one call may have made at once: two of a reply, and what is being cancelled."""


def activity() -> VoiceActivity:
    """The trained detector, or loudness where it is not installed."""
    return SileroVoiceActivity() if installed() else LoudnessVoiceActivity()


def calling(
    settings: VoiceSettings,
    pipeline: ChatPipeline,
    history: TurnHistory,
    detector: VoiceActivity,
    recognisers: Switchover[SpeechToText],
    transcribing: Transcribing | None,
    voices: Switchover[TextToSpeech],
    snapshot: Callable[[], Snapshot],
    clock: Clock,
    ids: Ids,
    *,
    development: bool,
) -> Calling | None:
    """None where nothing is installed that reads sound."""
    if transcribing is None:
        return None
    at_once = settings.calls_at_once
    each = settings.calls_per_owner or (at_once if development else EACH)
    watchdogs = DEFAULT.watchdogs
    return Calling(
        CallingParts(
            pipeline=pipeline,
            history=history,
            listening=Listening(detector, recognisers, transcribing),
            speaking=Speaking(
                voices,
                SpeakingDeadlines(watchdogs.synthesis_ns / S, watchdogs.synthesis_ns / S),
                at_once * SEGMENTS_EACH,
            ),
            snapshot=snapshot,
            clock=clock,
            ids=ids,
            load=Load(),
            profile=profile(settings),
            phrases=settings.phrases,
            seats=SeatLimits(at_once, each, settings.busy_percent),
            record=Recordings(Path(settings.recordings)).write if settings.recordings else None,
        )
    )


def preload_lines() -> None:
    """Loads what connects calls, so that the first one does not wait for it."""
    if is_installed("aiortc") and is_installed("av"):
        import cozy_adapters.webrtc.connections  # noqa: F401  it takes 0.2 s


def peer_connections(settings: VoiceSettings, clock: Clock) -> PeerConnections | None:
    """None where nothing is installed that speaks WebRTC.

    Raises:
        ConfigError: an ICE server is not as it must be.
    """
    if not (is_installed("aiortc") and is_installed("av")):
        return None
    from cozy_adapters.webrtc.connections import WebRtcConnections  # on first use: it takes 0.2 s to load
    from cozy_adapters.webrtc.ice import ConfiguredIceServer

    def configured(it: IceServerSettings) -> ConfiguredIceServer:
        password = it.password.reveal() if it.password else ""
        secret = it.secret.reveal() if it.secret else ""
        return ConfiguredIceServer(it.urls, it.username, password, secret, it.lifetime_s)

    servers = tuple(settings.ice.values())
    return WebRtcConnections(
        clock, [configured(it) for it in servers], [configured(it) for it in servers if it.own]
    )


def placed_calls() -> PlacedCalls | None:
    """As `peer_connections`, for who calls."""
    if not (is_installed("aiortc") and is_installed("av")):
        return None
    from cozy_adapters.webrtc.connections import WebRtcConnections  # as above

    return WebRtcConnections(SystemClock())


def profile(settings: VoiceSettings) -> VoiceProfile:
    """As the server's settings have it; personas change it further."""
    limits = replace(
        DEFAULT.limits,
        idle_ns=round(settings.idle_s * S),
        idle_prompts=settings.idle_prompts,
        idle_close_ns=round(settings.idle_close_s * S),
        reconnect_ns=round(settings.reconnect_s * S),
        longest_ns=round(settings.longest_s * S),
    )
    speculation = replace(DEFAULT.speculation, enabled=settings.speculate)
    return replace(DEFAULT, limits=limits, speculation=speculation)


NEWS = 0.2
"""The weight of the last second: a burst of callers, who cost most while they connect, is no lasting load."""


class Load:
    """How much of its time this process is busy, in percent of one core; to be asked once a second."""

    def __init__(
        self,
        used: Callable[[], float] = time.process_time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clocks = used, now
        self._used = used()
        self._at = now()
        self._percent = 0.0

    def __call__(self) -> int:
        used, at = (clock() for clock in self._clocks)
        if passed := at - self._at:
            self._percent += NEWS * (min(100.0, 100 * (used - self._used) / passed) - self._percent)
        self._used, self._at = used, at
        return round(self._percent)
