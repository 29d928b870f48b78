"""Turns speech into a verdict: which words a recogniser hears, and how alike two voices are.

The recogniser is pocketsphinx, the judge of likeness resemblyzer: both carry their models, need no network,
and are no part of the package (``requirements-report.txt``).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import soxr

from bark.errors import AudioError, MissingFileError

RECOGNISER_RATE = 16_000  # Hz
LEAD, TAIL = 0.2, 0.3  # s of silence around what is recognised
PEAK = 0.7  # level at which it is recognised
PHONE_NOISE = {"SIL", "+SPN+", "+NSN+", "<sil>"}
EXTRAS = "pip install pocketsphinx, or pip install --no-deps -r requirements-report.txt"


def edit_distance(reference: Sequence[Any] | np.ndarray, heard: Sequence[Any] | np.ndarray) -> int:
    """Return the fewest insertions, deletions and replacements that turn one sequence into the other.

    >>> edit_distance([1, 2, 3, 4], [2, 3, 5, 4, 4])
    3
    >>> edit_distance("one two three".split(), "one three".split())
    1
    """
    theirs = np.array(list(heard), dtype=object)
    steps = np.arange(len(theirs) + 1)
    row = steps.copy()
    for count, token in enumerate(reference, start=1):
        replaced = row[:-1] + (theirs != token).astype(np.int64)
        best = np.concatenate([[count], np.minimum(replaced, row[1:] + 1)])
        row = np.minimum.accumulate(best - steps) + steps  # insertions run along the row
    return int(row[-1])


class Recogniser:
    """Words of audio by a closed grammar, or phones by pocketsphinx's phone model.

    Parameters
    ----------
    jsgf : a grammar in JSpeech Grammar Format; None recognises phones.
    """

    def __init__(self, jsgf: str | None) -> None:
        try:
            import pocketsphinx
        except ImportError as error:
            raise MissingFileError("pocketsphinx is not installed", fix=EXTRAS) from error
        self.phones = jsgf is None
        if jsgf is None:
            language = f"{pocketsphinx.get_model_path()}/en-us/en-us-phone.lm.bin"
            self.decoder = pocketsphinx.Decoder(
                samprate=RECOGNISER_RATE, loglevel="FATAL", lm=None, dict=None, allphone=language,
                lw=2.0, beam=1e-20, pbeam=1e-20,
            )  # fmt: skip
        else:
            self.decoder = pocketsphinx.Decoder(
                samprate=RECOGNISER_RATE, loglevel="FATAL", lm=None, beam=1e-60, pbeam=1e-60, wbeam=1e-40
            )
            self.decoder.add_jsgf_string("grammar", jsgf)
            self.decoder.activate_search("grammar")

    def __call__(self, audio: np.ndarray, sample_rate: int = 24_000) -> list[str]:
        """Return the words or phones of ``(N,)`` float32 audio."""
        samples = soxr.resample(np.asarray(audio, np.float32), sample_rate, RECOGNISER_RATE)
        samples = samples * (PEAK / max(1e-3, float(np.abs(samples).max(initial=0))))
        samples = np.pad(samples, (int(LEAD * RECOGNISER_RATE), int(TAIL * RECOGNISER_RATE)))
        self.decoder.start_utt()
        self.decoder.process_raw((samples * 32767).astype("<i2").tobytes(), full_utt=True)
        self.decoder.end_utt()
        if self.phones:
            heard = [segment.word for segment in self.decoder.seg() or []]
            return [phone for phone in heard if phone not in PHONE_NOISE]
        best = self.decoder.hyp()
        return best.hypstr.lower().split() if best else []


class Likeness:
    """Voice embeddings of resemblyzer; the product of two is their cosine."""

    def __init__(self) -> None:
        try:
            from resemblyzer import VoiceEncoder
        except ImportError as error:
            raise MissingFileError("resemblyzer is not installed", fix=EXTRAS) from error
        self.encoder = VoiceEncoder("cpu", verbose=False)

    def __call__(self, audio: np.ndarray, sample_rate: int = 24_000) -> np.ndarray:
        """Return the unit embedding ``(256,)`` of ``(N,)`` audio; silence has none: an `AudioError`."""
        from resemblyzer import preprocess_wav

        if not np.any(audio):
            raise AudioError("there is no voice to compare", got=f"{len(audio)} samples of silence")
        prepared = preprocess_wav(np.asarray(audio, np.float32), source_sr=sample_rate)
        return np.asarray(self.encoder.embed_utterance(prepared))
