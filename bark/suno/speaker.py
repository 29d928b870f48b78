"""A Bark that takes what Suno's functions take."""

import logging
from dataclasses import dataclass, field
from typing import Unpack

import numpy as np

from bark.checkpoints.find import ModelFiles
from bark.errors import TextError
from bark.pipeline import Bark
from bark.settings import SettingChanges
from bark.stages.progress import Watch
from bark.text.tidy import clean, fit_tokens, speakable
from bark.voice.voice import Voice, VoiceLike

logger = logging.getLogger(__name__)


@dataclass
class SunoBark(Bark):
    """A Bark that takes what Suno's functions take: each stage checks only what it reads."""

    files: ModelFiles = field(kw_only=True)
    stage: str | None = field(default=None, kw_only=True)  # the only one that is to run

    def resolve_voice(self, voice: VoiceLike | None) -> Voice | None:
        """Find a voice and check the arrays that the stage reads."""
        return self.files.resolve_voice(voice, strict=False, stage=self.stage)

    def text_tokens(
        self,
        text: str,
        voice: VoiceLike | None,
        *,
        seed: int | None,
        progress: bool,
        **settings: Unpack[SettingChanges],
    ) -> np.ndarray:
        """Any text to semantic tokens (S,), cut to the context window; warn if it has no words."""
        if not isinstance(text, str) or not text.strip():
            raise TextError("there is nothing to speak", repr(text)[:40], "a text")
        if not speakable(text):
            logger.warning("%r has no words: what is heard is up to the model", text[:40])
        ids = self.tokenizer.encode(clean(text) or text, add_special_tokens=False)  # type: ignore[call-arg]
        ids = fit_tokens(ids, self.layout.text_window, "cut")
        chosen, watch = self.defaults.changed(settings), Watch.of(progress, None)
        return self._run("semantic", [ids], self._histories(voice, 1), [seed], chosen, watch)[0]
