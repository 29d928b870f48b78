"""A text of any length as audio pieces, each yielded while later ones are still being made."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bark.errors import SettingError
from bark.speech import spoken_info
from bark.stages.progress import Watch
from bark.stages.seeds import part_seed
from bark.text.reading import noted
from bark.voice.voice import Voice, VoiceLike

from .join import Joiner
from .part import BarkLike, retries, silent
from .plan import plan_parts
from .spoken import as_history, closing_voice

LATENCIES = ("exact", "low")
Spoken = Generator[np.ndarray, None, Voice]  # the audio (n,) of a part, returning its tokens


class NextPart(NamedTuple):
    """What is to be spoken next."""

    text: str
    history: Voice | None  # what it goes on from
    seed: int


class TextStream:
    """A text that is spoken part by part, by whoever asks for the next one.

    Parameters
    ----------
    voice : whose voice; None lets Bark choose one with the first part.
    find : finds the voices that marks ``[voice:NAME]`` in the text name.
    """

    def __init__(
        self,
        bark: BarkLike,
        text: str,
        voice: VoiceLike | None,
        seed: int,
        settings: Mapping[str, Any],
        find: Callable[[str], Voice | None] | None = None,
    ) -> None:
        bark.check(settings, seed)
        self.bark, self.text, self.seed, self.settings = bark, text, seed, settings
        self.parts = plan_parts(bark, text, lossy=bool(settings.get("lossy")))
        find = find or bark.resolve_voice
        names = dict.fromkeys(part.speaker for part in self.parts)
        self._anchors: dict[str | None, Voice | None] = {
            name: bark.resolve_voice(voice) if name is None else find(name) for name in names
        }
        self._histories = dict(self._anchors)
        self._joiner = Joiner(bark.layout.sample_rate)
        self.tokens: list[Voice] = []  # of each part that is spoken

    @property
    def spoken(self) -> int:
        """How many parts are spoken."""
        return len(self.tokens)

    @property
    def done(self) -> bool:
        """Whether every part is spoken."""
        return self.spoken == len(self.parts)

    @property
    def next(self) -> NextPart:
        """The first part that is not spoken yet."""
        turn = self.parts[self.spoken]
        seed = part_seed(self.seed, self.spoken + 1)
        return NextPart(turn.text, self._histories[turn.speaker], seed)

    @property
    def voice(self) -> Voice:
        """The end of what is spoken as a history prompt, as that of a `LongTake`."""
        speakers = [part.speaker for part in self.parts]
        said = list(zip(speakers, self.tokens, strict=False))
        speaker, voice = closing_voice(said, self.bark.layout)
        anchor, bark = self._anchors[speaker], self.bark
        info = spoken_info(bark.name, self.text, self.seed, anchor, bark.family)
        return replace(voice, info=info)

    def stream(self, latency: str, watch: Watch) -> Iterator[np.ndarray]:
        """Speak the next part and yield its audio while it is made."""
        yield from self._joined(self._running(latency, watch))

    def take(self, audio: np.ndarray, tokens: Voice) -> Iterator[np.ndarray]:
        """Yield the next part, spoken elsewhere as `next` says, joined to those before."""

        def whole() -> Spoken:
            yield audio
            return tokens

        yield from self._joined(whole())

    def _joined(self, spoken: Spoken) -> Iterator[np.ndarray]:
        number, speaker = self.spoken + 1, self.parts[self.spoken].speaker
        tokens = yield from self._joiner.part(spoken, last=number == len(self.parts))
        if self._histories[speaker] is None:
            self._histories[speaker] = as_history(tokens, self.bark.layout)
        self.tokens.append(tokens)

    def _running(self, latency: str, watch: Watch) -> Spoken:
        """Stream the next part, with the first seed that says anything."""
        text, history, seed = self.next
        options: dict[str, Any] = {"progress": watch, **self.settings}
        for other in retries(seed):
            with noted():
                semantic = self.bark.semantic_tokens(text, history, seed=other, **options)
            if len(semantic):
                return (
                    yield from self.bark.stream_tokens(
                        semantic, history, seed=other, latency=latency, **options
                    )
                )
        raise silent(text)


def stream_text(
    bark: BarkLike,
    text: str,
    voice: VoiceLike | None,
    seed: int,
    latency: str,
    watch: Watch,
    settings: Mapping[str, Any],
) -> Iterator[np.ndarray]:
    """Return the pieces of a text; see `bark.Bark.stream`. Arguments are checked at once."""
    check_latency(latency)
    stream = TextStream(bark, text, voice, seed, settings)

    def pieces() -> Iterator[np.ndarray]:
        while not stream.done:
            yield from stream.stream(latency, watch)
        watch.check()

    return pieces()


def check_latency(latency: str) -> None:
    """Refuse what is none of `LATENCIES`."""
    if latency not in LATENCIES:
        raise SettingError("latency", repr(latency), " or ".join(LATENCIES))
