"""Judges speech offline: which words a recogniser hears, and which take of a text is best.

The recogniser is pocketsphinx, which brings its models; likeness is `hubert.likeness`. Both need
the extra ``[judge]``."""

import logging
import math
import re
from collections.abc import Sequence

import numpy as np
import soxr

from bark.errors import MissingFileError, TextError
from bark.pipeline import Bark
from bark.text.english.phones import PAUSE, PhoneTokenizer
from bark.voice.voice import Voice

from .likeness import INSTALL
from .likeness import VoiceEmbedder as VoiceEmbedder

logger = logging.getLogger(__name__)

RECOGNISER_RATE = 16_000  # Hz
LEAD, TAIL = 0.2, 0.3  # s of silence around what is recognised
PEAK = 0.7  # level at which it is recognised
PHONE_NOISE = {"SIL", "+SPN+", "+NSN+", "<sil>"}
MARKS = re.compile(r"\[[^\]]*\]")  # [laughs] is not heard as words
# of its words are in the dictionary if a text is English; of French ones up to 0.75 were
ENGLISH = 0.85
FRAMES = 100  # a second, in pocketsphinx
SCORE_SCALE = 1024  # by which it divides log-likelihoods
UNALIGNED = (
    -4.0
)  # clarity of what cannot be aligned; the worst of 336 clips of nano that could had -2.7
CLARITY = 0.2  # its weight beside likeness; on 84 clips .1 to .5 chose about as well


class Recogniser:
    """Words of audio by a closed grammar, or phones by pocketsphinx's phone model.

    Parameters
    ----------
    jsgf : a grammar in JSpeech Grammar Format; None recognises phones.
    words : English words of the grammar that pocketsphinx may not know; it is told how they sound.
    """

    def __init__(self, jsgf: str | None, words: Sequence[str] = ()) -> None:
        try:
            import pocketsphinx
        except ImportError as error:
            raise MissingFileError("pocketsphinx is not installed", fix=INSTALL) from error
        self.phones = jsgf is None
        if jsgf is None:
            language = f"{pocketsphinx.get_model_path()}/en-us/en-us-phone.lm.bin"
            self.decoder = pocketsphinx.Decoder(
                samprate=RECOGNISER_RATE, loglevel="FATAL", lm=None, dict=None, allphone=language,
                lw=2.0, beam=1e-20, pbeam=1e-20,
            )  # fmt: skip
        else:
            self.decoder = pocketsphinx.Decoder(
                samprate=RECOGNISER_RATE,
                loglevel="FATAL",
                lm=None,
                beam=1e-60,
                pbeam=1e-60,
                wbeam=1e-40,
            )
            self.learn(words)
            self.decoder.add_jsgf_string("grammar", jsgf)
            self.decoder.activate_search("grammar")

    def __call__(self, audio: np.ndarray, sample_rate: int = 24_000) -> list[str]:
        """Return the words or phones of ``(N,)`` float32 audio."""
        self.hear(audio, sample_rate)
        if self.phones:
            heard = [segment.word for segment in self.decoder.seg() or []]
            return [phone for phone in heard if phone not in PHONE_NOISE]
        best = self.decoder.hyp()
        return best.hypstr.lower().split() if best else []

    def learn(self, words: Sequence[str]) -> None:
        """Tell the dictionary how words sound that it lacks."""
        for word in words:
            if self.decoder.lookup_word(word) is None:
                phones = PhoneTokenizer().pronounce(word)
                self.decoder.add_word(
                    word, " ".join(phone.rstrip("01") for phone in phones), update=False
                )

    def hear(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Decode ``(N,)`` audio; return the samples as they were heard."""
        samples = soxr.resample(np.asarray(audio, np.float32), sample_rate, RECOGNISER_RATE)
        samples = samples * (PEAK / max(1e-3, float(np.abs(samples).max(initial=0))))
        samples = np.pad(samples, (int(LEAD * RECOGNISER_RATE), int(TAIL * RECOGNISER_RATE)))
        self.decoder.reinit_feat()  # or the clip before would be heard in this one
        self.decoder.start_utt()
        self.decoder.process_raw((samples * 32767).astype("<i2").tobytes(), full_utt=True)
        self.decoder.end_utt()
        return samples


def spoken_words(text: str) -> list[str]:
    """Return an English text as the words that are spoken, marks as [laughs] left out.

    A text without any is a `TextError`.

    >>> spoken_words("It costs 2 dollars, [sighs] she said.")
    ['it', 'costs', 'two', 'dollars', 'she', 'said']
    """
    return [word.rstrip(PAUSE) for word in PhoneTokenizer().normalize(MARKS.sub(" ", text)).split()]


def is_english(words: Sequence[str]) -> bool:
    """Tell whether the dictionary knows most of the words."""
    return sum(map(PhoneTokenizer().knows, words)) >= ENGLISH * len(words)


def english_words(text: str) -> list[str]:
    """Return the spoken words of an English text; none of a text in another language."""
    try:
        words = spoken_words(text)
    except TextError:
        return []
    return words if is_english(words) else []


def own_words(text: str) -> Recogniser:
    """Return a recogniser of the words of an English text, in any order."""
    words = sorted(set(spoken_words(text)))
    return Recogniser(f"#JSGF V1.0; grammar g; public <g> = ({' | '.join(words)})+;", words)


class Aligner(Recogniser):
    """Tells how clearly audio says given words, by pocketsphinx's alignment of the two."""

    def __init__(self) -> None:
        super().__init__("#JSGF V1.0; grammar g; public <g> = yes;")

    def clarity(self, words: Sequence[str], audio: np.ndarray, sample_rate: int = 24_000) -> float:
        """Return how well ``(N,)`` audio fits the words' sounds, 0 at best; -4 where they cannot be
        aligned.

        In nats a frame (10 ms) below the sounds that fit each frame best, as in the goodness of
        pronunciation of Witt and Young (2000)."""
        self.learn(words)
        self.decoder.set_align_text(" ".join(words))
        samples = self.hear(audio, sample_rate)
        best = self.decoder.hyp()
        if best is None:
            return UNALIGNED
        frames = len(samples) / RECOGNISER_RATE * FRAMES
        return max(UNALIGNED, SCORE_SCALE * math.log(max(best.score, 1e-300)) / frames)


class TakeJudge:
    """Scores takes of one text by how much they are like the voice and how clearly they say the
    words.

    For ``bark.longform.speak_long(..., candidates=4, judge=TakeJudge(bark))``. Likeness is
    the speaker encoder's cosine to the sound of the voice's own codes; without a voice only words
    count, and words only in English.

    Parameters
    ----------
    bark : the model that speaks; its codec makes the voice heard.

    Raises
    ------
    MissingFileError
        If pocketsphinx or webrtcvad is not installed, or the weights for likeness are not there.
    """

    def __init__(self, bark: Bark) -> None:
        self.bark, self.embed, self.aligner = bark, VoiceEmbedder(), Aligner()
        self.known: dict[str, np.ndarray] = {}  # embeddings of voices

    def __call__(self, text: str, voice: Voice | None, takes: Sequence[np.ndarray]) -> list[float]:
        """Return a score for each take ``(N,)``, the more the better; -4 for silence."""
        words = english_words(text)
        if not words and voice is None and len(takes) > 1:
            logger.warning(
                "nothing to choose by, without a voice or English words: the first take is kept"
            )
        return [self._score(take, voice, words) if np.any(take) else UNALIGNED for take in takes]

    def _score(self, take: np.ndarray, voice: Voice | None, words: Sequence[str]) -> float:
        rate, score = self.bark.layout.sample_rate, 0.0
        if voice is not None:
            score += self.alike(take, voice)
        if words:
            score += CLARITY * self.aligner.clarity(words, take, rate)
        return score

    def alike(self, audio: np.ndarray, voice: Voice) -> float:
        """Return the cosine of (N,) audio to the sound of a voice's codes."""
        rate = self.bark.layout.sample_rate
        return float(self.embed(audio, rate) @ self._embedding(voice))

    def _embedding(self, voice: Voice) -> np.ndarray:
        if voice.digest not in self.known:
            audio = self.bark.decode(voice.fine)
            self.known[voice.digest] = self.embed(audio, self.bark.layout.sample_rate)
        return self.known[voice.digest]
