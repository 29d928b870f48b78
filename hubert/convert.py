"""Says a recording again in another voice: same words, same rhythm, the sound of the new speaker.

Semantic tokens hold what is said and when, hardly who says it. So they are read from the recording,
and the coarse and fine stages speak them in the voice. Pieces of up to 12 s are cut in pauses; what
lies between stretches of speech becomes silence of the same length. The command is
``python -m hubert.convert``, or ``bark convert-voice``."""

if __name__ == "__main__":  # the command reads its flags before torch is imported
    from booth.cli.swap import main

    raise SystemExit(main())

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bark.audio.read import load_audio
from bark.checkpoints.find import find_model
from bark.errors import AudioError, VoiceError
from bark.longform.join import join_audio
from bark.longform.spoken import LongTake, Part
from bark.pipeline import Bark
from bark.speech import reference_of
from bark.stages.progress import Progress, Watch
from bark.stages.seeds import new_seed, part_seed
from bark.voice.voice import Voice, VoiceLike

from .encoder import SemanticEncoder
from .features import SAMPLE_RATE
from .reference.speech import STEP, SpeechDetector

LONGEST = 12.0  # s of a piece; Bark's stages take 15
JOINED = 0.6  # s of pause that stay inside a piece
MARGIN = 0.2  # s kept before and after speech
SHORTEST = 0.3  # s of a piece; less has too few tokens for the coarse stage
OVERLAP = 0.01  # s of fade where pieces and silences meet
SIDE_BY_SIDE = 4  # pieces at once


@dataclass(frozen=True)
class Piece:
    """A stretch of speech, in seconds of the recording."""

    start: float
    end: float

    def of(self, audio: np.ndarray) -> np.ndarray:
        """Return its samples out of the recording's (N,) at 16 kHz."""
        return audio[round(self.start * SAMPLE_RATE) : round(self.end * SAMPLE_RATE)]


def convert_voice(
    recording: str | Path | np.ndarray,
    voice: VoiceLike,
    *,
    model: str | Path | Bark = "large",
    encoder: SemanticEncoder | None = None,
    sample_rate: int | None = None,
    language: str = "en",
    seed: int | None = None,
    progress: Progress = False,
) -> LongTake:
    """Speak what a recording says in another voice.

    Parameters
    ----------
    recording : an audio file, or samples (N,) or (N, channels) with their `sample_rate`; of any
        length.
    voice : the new speaker: a `Voice`, a path, or a name.
    model : a loaded `Bark`, or the name of one.
    encoder : reads semantic tokens; by default the one that goes with the model and the language of
        the recording.
    seed : same seed, same result; None draws one.
    progress : show bars, or a function that is told how far it is.

    Returns
    -------
    A take as long as the recording, one part for each piece; its texts are empty.

    Raises
    ------
    AudioError : it cannot be read, or holds no speech.
    VoiceError : there is no such voice.
    """
    audio = load_audio(recording, SAMPLE_RATE, source_rate=sample_rate)
    pieces = speech_pieces(audio)  # before a model is loaded: it may hold no speech
    watch, known = Watch.of(progress), model if isinstance(model, Bark) else find_model(model)
    target = known.resolve_voice(voice)
    if target is None:
        raise VoiceError("no voice to convert to", fix="Name one")
    bark = model if isinstance(model, Bark) else Bark.from_pretrained(model, progress=watch)
    if encoder is None:
        encoder = SemanticEncoder.from_pretrained(bark.name, language)
    seed, settings = new_seed(seed), bark.check({})
    parts = _spoken(pieces, audio, bark, encoder, target, seed, watch)
    rate = bark.layout.sample_rate
    joined = _laid_out(pieces, [part.audio for part in parts], len(audio) / SAMPLE_RATE, rate)
    return LongTake(
        joined, tuple(parts), rate, seed, "converted", bark.name, bark.layout,
        settings=settings.to_dict(), spoken_in={None: target},
        references={None: reference_of(voice)}, crossfade=OVERLAP, source=bark.source,
    )  # fmt: skip


def _spoken(
    pieces: Sequence[Piece],
    audio: np.ndarray,
    bark: Bark,
    encoder: SemanticEncoder,
    target: Voice,
    seed: int,
    watch: Watch,
) -> list[Part]:
    """Say each piece of a recording (N,) at 16 kHz again, a few side by side."""
    parts: list[Part] = []
    with watch.bar("pieces", len(pieces), "piece") as bar:
        for first in range(0, len(pieces), SIDE_BY_SIDE):
            group = pieces[first : first + SIDE_BY_SIDE]
            numbers = range(first + 1, first + 1 + len(group))
            seeds = [part_seed(seed, number) for number in numbers]
            semantic = [encoder.encode(piece.of(audio)) for piece in group]
            made = bark.speak_tokens(semantic, target, seeds=seeds, progress=watch)
            parts += [
                Part(number, "", None, own, 0, bark.decode(tokens.fine), tokens)
                for number, own, tokens in zip(numbers, seeds, made, strict=True)
            ]
            bar.update(len(group))
    return parts


def speech_pieces(audio: np.ndarray) -> list[Piece]:
    """Cut speech (N,) at 16 kHz in its pauses into pieces of at most 12 s; silence is in none.

    A stretch without a pause is cut where speech is least certain.
    """
    detector = SpeechDetector()
    probabilities = detector.probabilities([audio], SAMPLE_RATE)
    spans = [(start, end) for start, end in detector.spans(probabilities)]
    if not spans:
        raise AudioError("no speech found to convert", f"{len(audio) / SAMPLE_RATE:.1f} s of sound")
    groups: list[list[float]] = []
    for start, end in _short_enough(spans, probabilities):
        near = groups and start - groups[-1][1] <= JOINED
        if near and end - groups[-1][0] <= LONGEST:
            groups[-1][1] = end
        else:
            groups.append([start, end])
    return _with_margins(groups, len(audio) / SAMPLE_RATE)


def _short_enough(
    spans: Sequence[tuple[float, float]], probabilities: np.ndarray
) -> list[tuple[float, float]]:
    """Cut spans that are too long in their latter half, where speech is least certain."""
    step = STEP / SAMPLE_RATE
    short: list[tuple[float, float]] = []
    for start, end in spans:
        while end - start > LONGEST:
            low, high = round((start + LONGEST / 2) / step), round((start + LONGEST) / step)
            cut = (low + int(probabilities[low:high].argmin()) + 0.5) * step
            short.append((start, cut))
            start = cut
        short.append((start, end))
    return short


def _with_margins(groups: Sequence[Sequence[float]], duration: float) -> list[Piece]:
    """Widen each stretch into the pauses around it, never into its neighbour."""
    pieces = []
    for index, (start, end) in enumerate(groups):
        before = 0.0 if not index else (groups[index - 1][1] + start) / 2
        after = duration if index == len(groups) - 1 else (end + groups[index + 1][0]) / 2
        low, high = max(before, start - MARGIN), min(after, end + MARGIN)
        if high - low < SHORTEST:
            low, high = max(0.0, high - SHORTEST), min(duration, max(high, SHORTEST))
        pieces.append(Piece(low, high))
    return pieces


def _laid_out(
    pieces: Sequence[Piece], spoken: Sequence[np.ndarray], duration: float, rate: int
) -> np.ndarray:
    """Put each spoken piece where it was in the recording, with silence between.

    Every join takes `OVERLAP` away; a gap too small to fill waits for the next.
    """
    overlap = round(OVERLAP * rate)
    laid: list[np.ndarray] = []
    length = 0
    ends = [*(piece.start for piece in pieces), duration]
    for until, audio in zip(ends, [*spoken, np.zeros(0, np.float32)], strict=True):
        gap = round(until * rate) - length
        filling = [np.zeros(gap + 2 * overlap, np.float32)] if gap > 2 * overlap else []
        for part in [*filling, audio]:
            length += len(part) - (overlap if laid else 0)
            laid.append(part)
    return join_audio(laid[:-1], rate, crossfade=OVERLAP)[: round(duration * rate)]
