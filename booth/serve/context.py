"""What every route needs: the settings, the engine, and the voices that a name may mean."""

from dataclasses import dataclass

from anyio import CapacityLimiter
from fastapi import Request

from bark.errors import VoiceError
from bark.tokens import BARK
from bark.voice.names import SUNO_PRESETS, check_name, is_suno_preset, list_voices
from bark.voice.voice import Voice
from booth.jobs.store import JobStore
from booth.jobs.worker import JobWorker
from booth.voices.library import RANDOM, Entry, Library

from .config import ServeSettings
from .engine import Engine, Metrics
from .errors import ApiError
from .uploads import Desk

OPENAI_VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage",
    "shimmer", "verse",
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """One server's parts."""

    settings: ServeSettings
    engine: Engine
    metrics: Metrics
    jobs: JobStore
    worker: JobWorker
    planning: CapacityLimiter  # one long text after the other
    desk: Desk

    @property
    def library(self) -> Library:
        """Own voices."""
        return Library(self.settings.voices)

    def entries(self) -> list[Entry]:
        """Return the voices that the loaded model may speak with."""
        suno = self.engine.bark.layout.semantic_vocab == BARK.semantic_vocab
        presets = "suno" if suno else "nano"
        return [entry for entry in self.library.entries() if entry.origin in ("own", presets)]

    def find(self, name: str) -> Voice | None:
        """Return the voice of a name; None lets the model make one up. Paths are no names.

        OpenAI's names, which many clients send until they are told others, mean presets.
        """
        if name == RANDOM:
            return None
        try:
            name = check_name(name)
            own = list_voices([self.library.home])
            if name in own:
                return self.engine.bark.resolve_voice(own[name])
            if is_suno_preset(name):
                return self.engine.bark.resolve_voice(name)
            if name in OPENAI_VOICES:
                return self.engine.bark.resolve_voice(self._preset(OPENAI_VOICES.index(name)))
            path = self.library.find(name)
        except VoiceError as error:
            told = f"no voice is named {name[:80]!r}"
            if error.fix and error.fix.startswith("Did you mean"):
                told += f". {error.fix}"
            raise ApiError(404, told, param="voice", code="voice_not_found") from error
        return self.engine.bark.resolve_voice(path)

    def _preset(self, number: int) -> str:
        nano = sorted(entry.name for entry in self.entries() if entry.origin == "nano")
        names = nano or [name for name in SUNO_PRESETS if name.startswith("v2/en_")]
        return names[number % len(names)]


def context_of(request: Request) -> Context:
    """Return the context of the app that a request came to."""
    context: Context = request.app.state.context
    return context
