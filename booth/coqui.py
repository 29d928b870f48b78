"""Coqui's way of asking for Bark: its objects and its folders of voices.

One import line changes: ``from booth.coqui import TTS``, or ``Bark, BarkConfig``. Differences on
purpose: a recording is cloned again when it has changed; long text is spoken part by part in one
voice; every call takes a ``seed``."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from bark.errors import SettingError
from bark.longform.plan import plan_parts
from bark.longform.speak import LongTake, speak_long
from bark.pipeline import Bark as Orchestrator
from bark.stages.seeds import new_seed
from bark.storage.files import expand
from bark.voice.voice import Voice
from booth.takes.take import save_voice
from booth.voices.coqui_folder import CloneRecording, coqui_voice, inside, is_current
from booth.voices.library import RANDOM

from .coqui_model import COQUI_MODEL, BarkConfig, CoquiModel, Folders

logger = logging.getLogger(__name__)


class BarkTTS(CoquiModel):
    """Bark behind Coqui's calls; the model is loaded at the first one.

    Parameters
    ----------
    model_name : Coqui's name of Bark, or large, small, nano, a folder or a hub id.
    gpu : run on a GPU; where there is none, warn and take the CPU.
    progress_bar : show progress.
    consent : whose voice recordings hold, for the voices cloned from them (`hubert.consent`).
    bark : a model that is loaded already.
    """

    def __init__(
        self,
        model_name: str = COQUI_MODEL,
        gpu: bool = False,
        progress_bar: bool = True,
        *,
        device: str = "auto",
        consent: str | None = None,
        bark: Orchestrator | None = None,
    ) -> None:
        if gpu and not torch.cuda.is_available():
            logger.warning("gpu=True, but torch sees no CUDA GPU: %s is used", device)
            gpu = False
        self.config = BarkConfig(
            model_name if bark is None else bark.name, "cuda" if gpu else device
        )
        self.progress_bar, self.consent = progress_bar, consent
        self._bark = bark

    @classmethod
    def from_config(cls, config: BarkConfig, **options: Any) -> Self:
        """Build the object from a `BarkConfig`."""
        made = cls(**options)
        made.config = config
        return made

    @classmethod
    def init_from_config(cls, config: BarkConfig, **options: Any) -> Self:
        """`from_config` under the name that Coqui's models have."""
        return cls.from_config(config, **options)

    def generate_voice(
        self, audio: str | Path, speaker_id: str, voice_dir: str | Path | None
    ) -> None:
        """Clone a recording into ``voice_dir/speaker_id.npz`` unless it is there."""
        if voice_dir is not None:
            self._cloned(Path(audio), speaker_id, [voice_dir], self._cloner(None))

    def to(self, device: str) -> Self:
        """Choose the device; a loaded model is loaded anew there."""
        self.config = BarkConfig(
            self.config.model, device, self.config.voice_dirs, self.config.settings
        )
        self._bark = None
        return self

    def tts(
        self,
        text: str,
        speaker: str | None = None,
        language: str | None = None,
        speaker_wav: str | Path | Sequence[str | Path] | None = None,
        *,
        voice_dir: Folders = None,
        seed: int | None = None,
        split_sentences: bool = True,
        **settings: Any,
    ) -> np.ndarray:
        """Speak `text` and return (N,) float32 at 24 kHz.

        Parameters
        ----------
        speaker : a voice of `voice_dir`, cloned when first used; without `voice_dir` a voice's
            name; None or "random" for a new voice.
        language : of the recording that is cloned, such as "de"; English if None.
        speaker_wav : a recording to clone; with `voice_dir` and `speaker` it is kept there under
            that name.
        voice_dir : a folder, or several, of ``<speaker>/speaker.wav`` (.mp3, .flac, .npz).
        split_sentences : False speaks the text as one part, which must not be long.
        **settings : ``text_temp``, ``waveform_temp``, ``top_k``, ``min_eos_p``, ..., or any field
            of `bark.pipeline.Settings`.

        Raises
        ------
        BarkError
            If a voice, the text or a setting cannot be used.
        """
        voice = self._voice(speaker, speaker_wav, voice_dir, language)
        return self._speak(text, voice, seed, split_sentences, settings).audio

    def tts_to_file(
        self,
        text: str,
        speaker: str | None = None,
        language: str | None = None,
        speaker_wav: str | Path | Sequence[str | Path] | None = None,
        file_path: str | Path = "output.wav",
        *,
        voice_dir: Folders = None,
        seed: int | None = None,
        split_sentences: bool = True,
        **settings: Any,
    ) -> str | Path:
        """Speak `text` into a file, which is replaced if it exists, and return its
        path; see `tts`.
        """
        voice = self._voice(speaker, speaker_wav, voice_dir, language)
        self._speak(text, voice, seed, split_sentences, settings).save(file_path, record=False)
        return file_path

    def synthesize(
        self,
        text: str,
        config: BarkConfig | None = None,
        speaker_id: str | None = RANDOM,
        voice_dirs: Folders = None,
        *,
        speaker_wav: str | Path | None = None,
        seed: int | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """Speak `text` and return the dictionary that Coqui's page documents.

        Returns
        -------
        ``wav`` (N,) float32; ``text_inputs``, the text; ``text_input``, its token ids;
        ``deterministic_seed``; ``voice_samples``, the recording that was cloned or None;
        ``conditioning_latents``, the history prompt as a dictionary or None.
        """
        config = config or self.config
        voice = self._voice(speaker_id, speaker_wav, voice_dirs or config.voice_dirs, None)
        seed = new_seed(seed)
        spoken = self._speak(text, voice, seed, True, {**config.settings, **settings})
        encode = self.bark.tokenizer.encode
        return {
            "wav": spoken.audio,
            "text_inputs": text,
            "text_input": [number for part in spoken.parts for number in encode(part.text)],
            "deterministic_seed": seed,
            "voice_samples": speaker_wav,
            "conditioning_latents": None if voice is None else voice.to_dict(),
        }

    def _speak(
        self,
        text: str,
        voice: Voice | None,
        seed: int | None,
        split: bool,
        settings: dict[str, Any],
    ) -> LongTake:
        parts = plan_parts(self.bark, text)
        if not split and len(parts) > 1:
            raise SettingError(
                "the text is too long for one part",
                f"{len(parts)} parts",
                fix="Leave split_sentences on",
            )
        return speak_long(
            self.bark, parts, voice, seed=seed, progress=self.progress_bar, **settings
        )

    def _voice(
        self,
        speaker: str | None,
        recording: str | Path | Sequence[str | Path] | None,
        folders: Folders,
        language: str | None,
    ) -> Voice | None:
        if isinstance(recording, (list, tuple)):
            if len(recording) > 1:
                logger.warning(
                    "Bark goes on from one recording: %s; the others are not used", recording[0]
                )
            recording = recording[0] if recording else None
        places = [folders] if isinstance(folders, (str, Path)) else list(folders or ())
        clone = self._cloner(language)
        if recording is not None:
            return self._cloned(Path(str(recording)), speaker, places, clone)
        if not places:
            return self.bark.resolve_voice(None if speaker == RANDOM else speaker)
        path = coqui_voice(speaker, places, clone, self.bark.layout, self.bark.name)
        return self.bark.resolve_voice(path)

    def _cloned(
        self,
        recording: Path,
        speaker: str | None,
        places: Sequence[str | Path],
        clone: CloneRecording,
    ) -> Voice:
        if not places or speaker is None or speaker == RANDOM:
            return clone(recording)
        path = inside(expand(places[0]), f"{speaker}.npz")
        if not recording.is_file() or not is_current(
            path, recording, self.bark.layout, self.bark.name, strict=True
        ):
            path = save_voice(clone(recording), path.parent, speaker, self.bark.layout)
        return Voice.load(path, self.bark.layout)

    def _cloner(self, language: str | None) -> CloneRecording:
        def clone(recording: Path) -> Voice:
            from hubert.clone import Cloner

            machine = Cloner.from_pretrained(self.bark.name, language or "en")
            return machine.clone(recording, consent=self.consent).said(recording).voice

        return clone


def synthesize(
    text: str,
    config: BarkConfig | None = None,
    speaker_id: str | None = RANDOM,
    voice_dirs: Folders = None,
    **options: Any,
) -> dict[str, Any]:
    """Load the model of `config`, speak `text`, and return `BarkTTS.synthesize`'s dictionary."""
    made = BarkTTS.from_config(config or BarkConfig(), progress_bar=False)
    return made.synthesize(text, None, speaker_id, voice_dirs, **options)


TTS = Bark = BarkTTS  # Coqui's names
