"""Makes a cloned voice more like its speaker: takes are spoken in it, and the best one may become
the new prompt.

    windows   of several voices of one person, the one is kept that speaks most like the recordings
    takes     it speaks several texts; each take is scored against the recordings
    audition  the best takes speak, as prompts, other texts beside it
    trial     the best of these and the voice speak a third set; it is promoted only by `RULE`
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from threading import Event
from typing import Any, Self

from bark.errors import SettingError, SilentError, VoiceError
from bark.longform.spoken import as_history
from bark.pipeline import Bark
from bark.speech import Generation
from bark.stages.progress import Progress, Watch
from bark.stages.seeds import new_seed, part_seed
from bark.storage.atomic import atomic_write_text
from bark.storage.json import encode
from bark.voice.voice import Voice, VoiceLike
from hubert.clone import Recording

from .judges import OFFLINE, Judge, SpeakerJudge, WordJudge, load_judges
from .scores import Listener, Scores, paced
from .texts import ENGLISH, Texts
from .trial import Pair, Trial

ROUND = 4  # takes, after each of which it is asked whether more are worth it
WORTH = 0.01  # by how much the best score must have risen
FINALISTS = 2  # takes that are tried as prompts
SIDE_BY_SIDE = 8  # utterances at most, for the sake of memory
RECORD = "refine.json"
WINDOWS, TAKES, AUDITION, TRIAL = range(2, 6)  # numbers of `part_seed`: each draws its own seeds


@dataclass(frozen=True)
class ScoredTake:
    """One take, and what it is like."""

    number: int  # from 1
    take: Generation = field(repr=False)
    scores: Scores
    audition: float | None = None  # mean score of what it speaks as a prompt

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for a record."""
        heard = None if self.audition is None else round(self.audition, 4)
        return {
            "number": self.number,
            "text": self.take.text,
            "seed": self.take.seed,
            **self.scores.to_dict(),
            "audition": heard,
        }


@dataclass(frozen=True)
class Refinement:
    """A refined voice, and how it came about."""

    voice: Voice  # the promoted take, or the voice as it was
    base: Voice  # the voice that was refined
    base_number: int  # of the voices that were given, from 1
    takes: tuple[ScoredTake, ...]
    base_audition: float
    windows: tuple[float, ...] = ()  # score of each voice, if several were given
    chosen: int | None = None  # number of the take that was tried; None if none came that far
    trial: Trial | None = None
    seed: int = 0
    judges: tuple[str, ...] = ()

    @property
    def promoted(self) -> bool:
        """Whether the voice is a take."""
        return self.trial is not None and self.trial.passed

    def lines(self) -> list[str]:
        """Say what was done, a line for each take and one for the result."""
        said = [
            f"voice {number}: score {score:.3f}" for number, score in enumerate(self.windows, 1)
        ]
        for each in self.takes:
            tried = "" if each.audition is None else f", as a prompt {each.audition:.3f}"
            words = "" if each.scores.clarity is None else f", clarity {each.scores.clarity:.2f}"
            said.append(
                f"take {each.number}: score {each.scores.total:.3f}, likeness "
                f"{each.scores.likeness:.3f}{words}{tried}"
            )
        said.append(f"the voice itself as a prompt: {self.base_audition:.3f}")
        return [*said, self.result()]

    def result(self) -> str:
        """Say in one sentence what became of it."""
        if self.trial is None:
            return "kept the voice: no take spoke better as a prompt"
        words = "" if self.trial.words is None else f", clarity {self.trial.words}"
        done = "promoted take" if self.promoted else "kept the voice, not take"
        return f"{done} {self.chosen}: likeness {self.trial.gain}{words}"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values for a record."""
        return {
            "result": self.result(),
            "promoted": self.promoted,
            "chosen": self.chosen,
            "seed": self.seed,
            "judges": list(self.judges),
            "voice": self.base_number,
            "voice_sha256": self.base.digest,
            "windows": [round(score, 4) for score in self.windows],
            "base_audition": round(self.base_audition, 4),
            "takes": [each.to_dict() for each in self.takes],
            "trial": None if self.trial is None else self.trial.to_dict(),
        }

    def save(self, folder: str | Path) -> Path:
        """Write every take with its voice, both sides of the trial, the voice as it was and
        ``refine.json`` into a folder, and return it.
        """
        folder = Path(folder)
        self.base.save(folder / "before.npz", self.takes[0].take.layout if self.takes else None)
        for each in self.takes:
            each.take.save(folder / f"take-{each.number:02}.wav", voice=True)
        for number, pair in enumerate(self.trial.pairs if self.trial else (), 1):
            for side, take in (("before", pair.before), ("after", pair.after)):
                if take is not None:
                    take.save(folder / f"trial-{number:02}-{side}.wav", record=False)
        atomic_write_text(folder / RECORD, encode(self.to_dict(), indent=1) + "\n")
        return folder


@dataclass(frozen=True)
class Refiner:
    """A Bark and the judges of what it speaks, loaded once for many voices."""

    bark: Bark
    speaker: SpeakerJudge
    hearer: WordJudge | None = None
    texts: Texts = ENGLISH

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | Bark = "large",
        judges: Sequence[str | Judge] = tuple(OFFLINE.split(",")),
        texts: Texts = ENGLISH,
    ) -> Self:
        """Load the judges, and the model if it is a name."""
        speaker, hearer = load_judges(judges)
        bark = model if isinstance(model, Bark) else Bark.from_pretrained(model)
        return cls(bark, speaker, hearer, texts)

    def refine(
        self,
        voice: VoiceLike | Sequence[VoiceLike],
        recordings: Recording | Sequence[Recording],
        takes: int = 8,
        *,
        seed: int | None = None,
        progress: Progress = False,
        cancel: Event | None = None,
    ) -> Refinement:
        """Refine a voice; see `refine_voice`."""
        _check(takes)
        voices = self._voices(voice)
        seed, watch = new_seed(seed), Watch.of(progress, cancel)
        listener = Listener.of(_several(recordings), self.speaker, self.hearer)
        windows = self._windows(voices, listener, seed, watch)
        number = windows.index(max(windows)) if windows else 0
        base = voices[number]
        made = self._takes(base, listener, takes, seed, watch)
        made, own = self._audition(base, made, listener, seed, watch)
        judges = tuple(type(judge).__name__ for judge in (self.speaker, self.hearer) if judge)
        found = Refinement(
            base, base, number + 1, tuple(made), own, tuple(windows), seed=seed, judges=judges
        )
        tried = [(each.audition, each) for each in made if each.audition is not None]
        score, best = max(tried, key=lambda pair: pair[0], default=(own, None))
        if best is None or score <= own:
            return found
        trial = self._trial(base, best.take.voice, listener, seed, watch)
        voice = _promoted(base, best, len(made), trial) if trial.passed else base
        return replace(found, voice=voice, chosen=best.number, trial=trial)

    def _voices(self, voice: VoiceLike | Sequence[VoiceLike]) -> list[Voice]:
        """Find the voice, or the several of one person."""
        many = isinstance(voice, (list, tuple))
        given: Sequence[VoiceLike] = voice if many else [voice]  # type: ignore[list-item, assignment]
        found = [self.bark.resolve_voice(each) for each in given]
        voices = [each for each in found if each is not None]
        if not voices or len(voices) < len(found):
            raise VoiceError("no voice to refine", fix="Clone one first")
        return voices

    def _windows(
        self, voices: Sequence[Voice], listener: Listener, seed: int, watch: Watch
    ) -> list[float]:
        """Let each of several voices speak the same texts; return their scores."""
        if len(voices) < 2:
            return []
        return self._as_prompts(voices, listener, _seeds(seed, WINDOWS, self.texts.audition), watch)

    def _takes(
        self, base: Voice, listener: Listener, count: int, seed: int, watch: Watch
    ) -> list[ScoredTake]:
        """Speak takes round by round, until there are enough or another round brought nothing."""
        spoken: list[Generation] = []
        heard: list[Scores] = []
        before = -math.inf
        with watch.bar("takes", count, "take") as bar:
            for first in range(0, count, ROUND):
                draws = range(first, min(first + ROUND, count))
                texts = [self.texts.takes[draw % len(self.texts.takes)] for draw in draws]
                seeds = [part_seed(seed, TAKES, draw) for draw in draws]
                made = self._speak(texts, [base] * len(texts), seeds, watch)
                usable = [take for take in made if take is not None and self._is_prompt(take)]
                spoken += usable
                heard += [listener.hear(take) for take in usable]
                bar.update(len(texts))
                best = max((each.total for each in paced(spoken, heard)), default=before)
                if best < before + WORTH:
                    break
                before = best
            bar.finish()
        scored = zip(spoken, paced(spoken, heard), strict=True)
        return [ScoredTake(number, take, score) for number, (take, score) in enumerate(scored, 1)]

    def _audition(
        self, base: Voice, takes: list[ScoredTake], listener: Listener, seed: int, watch: Watch
    ) -> tuple[list[ScoredTake], float]:
        """Let the best takes speak as prompts beside the voice; return the takes with their scores,
        and the voice's.
        """
        finalists = sorted(takes, key=lambda each: -each.scores.total)[:FINALISTS]
        voices = [base, *(each.take.voice for each in finalists)]
        seeds = _seeds(seed, AUDITION, self.texts.audition)
        own, *scores = self._as_prompts(voices, listener, seeds, watch)
        heard = {each.number: score for each, score in zip(finalists, scores, strict=True)}
        return [replace(each, audition=heard.get(each.number)) for each in takes], own

    def _as_prompts(
        self, voices: Sequence[Voice], listener: Listener, seeds: Sequence[int], watch: Watch
    ) -> list[float]:
        """Return how well each voice speaks: the mean score over the same texts and seeds."""
        texts = self.texts.audition
        scores: list[float] = []
        with watch.bar("prompts", len(voices), "voice") as bar:
            for voice in voices:
                made = self._speak(texts, [voice] * len(texts), seeds, watch)
                heard = listener.scores([take for take in made if take is not None])
                silent = [-1.0] * (len(texts) - len(heard))
                scores.append(fmean([*(score.total for score in heard), *silent]))
                bar.update()
        return scores

    def _trial(
        self, base: Voice, candidate: Voice, listener: Listener, seed: int, watch: Watch
    ) -> Trial:
        """Let both speak texts that had no part in the choice."""
        texts = self.texts.trial
        seeds = _seeds(seed, TRIAL, texts)
        pairs: list[Pair] = []
        with watch.bar("trial", len(texts), "text") as bar:
            for at in range(0, len(texts), ROUND):
                some, own = texts[at : at + ROUND], seeds[at : at + ROUND]
                voices = [base] * len(some) + [candidate] * len(some)
                made = self._speak([*some, *some], voices, [*own, *own], watch)
                sides = zip(some, own, made[: len(some)], made[len(some) :], strict=True)
                pairs += [_paired(listener, *side) for side in sides]
                bar.update(len(some))
        return Trial(tuple(pairs))

    def _speak(
        self, texts: Sequence[str], voices: Sequence[Voice], seeds: Sequence[int], watch: Watch
    ) -> list[Generation | None]:
        """Speak texts side by side; None for one that stays silent."""
        made: list[Generation | None] = []
        for at in range(0, len(texts), SIDE_BY_SIDE):
            part = slice(at, at + SIDE_BY_SIDE)
            try:
                made += self.bark.generate_batch(
                    texts[part], voices[part], seeds=seeds[part], progress=watch
                )
            except SilentError:
                rows = zip(texts[part], voices[part], seeds[part], strict=True)
                made += [self._alone(*row, watch) for row in rows]
        return made

    def _is_prompt(self, take: Generation) -> bool:
        """Tell whether a take is long enough to go on from."""
        return as_history(take.tokens, self.bark.layout) is not None

    def _alone(self, text: str, voice: Voice, seed: int, watch: Watch) -> Generation | None:
        try:
            return self.bark.generate(text, voice, seed=seed, progress=watch)
        except SilentError:
            return None


def refine_voice(
    voice: VoiceLike | Sequence[VoiceLike],
    recordings: Recording | Sequence[Recording],
    *,
    model: str | Path | Bark = "large",
    takes: int = 8,
    judges: Sequence[str | Judge] = tuple(OFFLINE.split(",")),
    seed: int | None = None,
    progress: Progress = False,
    cancel: Event | None = None,
) -> Refinement:
    """Let a cloned voice speak, and make its best take the new prompt if that speaks more like the
    recordings.

    Parameters
    ----------
    voice : a cloned voice, or several of one person, such as one for each recording.
    recordings : of the person: files, or pairs of a rate and samples. Takes are compared with them,
        not with the clone.
    model : a loaded `Bark`, or the name of the one that the voice was made for.
    takes : at most so many; it stops earlier where more bring nothing.
    judges : names (`hubert.refine.judges`) or objects: a speaker encoder and, if words are to be
        judged, a recogniser.
    seed : same seed, same result; None draws one.
    progress : show bars, or a function that is told how far it is.
    cancel : when another thread sets it, the call ends with `Cancelled`.

    Raises
    ------
    MissingFileError : a judge, a file or the model is not there.
    SettingError, VoiceError, AudioError : an argument cannot be used.
    """
    _check(takes)  # before anything is loaded
    refiner = Refiner.from_pretrained(model, judges)
    return refiner.refine(voice, recordings, takes, seed=seed, progress=progress, cancel=cancel)


def _several(recordings: Recording | Sequence[Recording]) -> Sequence[Recording]:
    """Return one recording as a list of one; a pair of rate and samples is one."""
    pair = isinstance(recordings, tuple) and isinstance(recordings[0], int)
    many = isinstance(recordings, (list, tuple)) and not pair
    return list(recordings) if many else [recordings]  # type: ignore[list-item, arg-type]


def _check(takes: int) -> None:
    if type(takes) is not int or takes < 2:
        raise SettingError("takes", repr(takes), "a whole number >= 2")


def _seeds(seed: int, phase: int, texts: Sequence[str]) -> list[int]:
    return [part_seed(seed, phase, draw) for draw in range(len(texts))]


def _paired(
    listener: Listener,
    text: str,
    seed: int,
    before: Generation | None,
    after: Generation | None,
) -> Pair:
    sides = (before, after)
    likeness = [listener.likeness(s.audio, s.sample_rate) if s else -1.0 for s in sides]
    said = [listener.clarity(s.text, s.audio, s.sample_rate) if s else None for s in sides]
    clarity = None if None in said else (float(said[0] or 0), float(said[1] or 0))
    return Pair(text, seed, before, after, (likeness[0], likeness[1]), clarity)


def _promoted(base: Voice, best: ScoredTake, count: int, trial: Trial) -> Voice:
    """Return the take as a voice that says what it was refined from; consent, language and hash of
    the source come along as in all that a voice says.
    """
    voice = best.take.voice
    note = {
        "refined_from": base.digest,
        "refined": f"take {best.number} of {count}, likeness {trial.gain}",
    }
    source = {"source": base.info["source"]} if "source" in base.info else {}
    return replace(voice, info={**source, **voice.info, **note})
