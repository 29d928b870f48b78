"""Tells how alike two voices are, by Resemblyzer's published speaker encoder.

    python -m hubert.likeness        # fetch its weights, once, 17 MB

The network is small, and only its weights are theirs: the package itself asks for a module that
must be compiled, so that it cannot be installed without complaints. Embeddings equal those of
resemblyzer 0.1.4 (GE2E, Wan et al. 2018) to rounding."""

if __name__ == "__main__":  # the command reads its flags before torch is imported
    from hubert.speaker_weights import main

    raise SystemExit(main())

from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor, nn

from bark.errors import AudioError, CheckpointError, MissingFileError
from bark.storage.weights import read_torch_file

from .speaker_weights import find_weights

INSTALL = "Install it: pip install 'bark-voice-booth[judge]'"

RATE = 16_000  # Hz
FRAME, HOP, MELS = 400, 160, 40  # samples of a spectrum and between two of them; mel bands
PART = 160  # frames of one input of the network, 1.6 s
STEP = 77  # frames between two parts: 1.3 parts a second
COVERAGE = 0.75  # of the last part must be speech
QUIET = -30.0  # dBFS to which quieter speech is raised
VAD_WINDOW = 480  # samples, 30 ms
SMOOTHED, KEPT = 8, 3  # windows that vote on each other; windows kept on each side of speech


class SpeakerEncoder(nn.Module):
    """Three LSTM layers and a linear one over mel spectra."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        """Mel spectra (B, 160, 40) → unit embeddings (B, 256)."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


class Embedder:
    """Embeddings of stretches of speech of 1.6 s.

    Raises
    ------
    MissingFileError
        If the weights are not there.
    """

    def __init__(self) -> None:
        weights = _read(find_weights())
        # transformers takes seconds to import, and only its filterbank is needed here
        from transformers.audio_utils import mel_filter_bank

        filters = mel_filter_bank(
            FRAME // 2 + 1, MELS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney"
        )
        self.filters = torch.from_numpy(filters).float()  # (201, 40)
        self.window = torch.hann_window(FRAME)
        self.network = SpeakerEncoder().eval()
        self.network.load_state_dict(weights)

    @torch.inference_mode()
    def stretches(self, speech: np.ndarray, step: int = STEP) -> np.ndarray:
        """Return the unit embedding of each 1.6 s of speech (N,) at 16 kHz: (n, 256).

        One begins every `step` frames of 10 ms; speech that is shorter is one stretch.
        """
        level = 10 * np.log10(np.mean(np.square(speech, dtype=np.float64)) + 1e-12)  # dBFS
        speech = (speech * 10 ** (max(0.0, QUIET - level) / 20)).astype(np.float32)
        mel = self._mel(torch.from_numpy(np.pad(speech, (0, max(0, PART * HOP - len(speech))))))
        starts = range(0, len(mel) - PART + 1, step)
        found = self.network(torch.stack([mel[start : start + PART] for start in starts]))
        return np.asarray(found)

    def _mel(self, speech: Tensor) -> Tensor:
        """Return power in mel bands (frames, 40)."""
        spectrum = torch.stft(
            speech, FRAME, HOP, window=self.window, pad_mode="constant", return_complex=True
        )
        return spectrum.abs().square().T @ self.filters


class VoiceEmbedder(Embedder):
    """Voice embeddings; the product of two is their cosine.

    Raises
    ------
    MissingFileError
        If the weights or the speech detector are not there.
    """

    def __init__(self) -> None:
        try:
            import webrtcvad
        except ImportError as error:
            raise MissingFileError("webrtcvad is not installed", fix=INSTALL) from error
        super().__init__()
        self.detector_type = webrtcvad.Vad

    @torch.inference_mode()
    def __call__(self, audio: np.ndarray, sample_rate: int = 24_000) -> np.ndarray:
        """Return the unit embedding ``(256,)`` of ``(N,)`` audio; silence has none: an
        `AudioError`.
        """
        if not np.any(audio):
            raise AudioError("there is no voice to compare", got=f"{len(audio)} samples of silence")
        speech = self._speech(np.asarray(audio, np.float32), sample_rate)
        starts = _part_starts(len(speech))
        end = (starts[-1] + PART) * HOP
        if end >= len(speech):
            speech = np.pad(speech, (0, end - len(speech)))
        mel = self._mel(torch.from_numpy(speech))
        parts = self.network(torch.stack([mel[start : start + PART] for start in starts]))
        return np.asarray(nn.functional.normalize(parts.mean(0), dim=0))

    def _speech(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return audio at 16 kHz, raised if it is quiet, without its longer pauses."""
        audio = soxr.resample(audio, sample_rate, RATE)
        level = 10 * np.log10(np.mean(audio.astype(np.float64) ** 2))  # dBFS
        audio = (audio * 10 ** (max(0.0, QUIET - level) / 20)).astype(np.float32)
        audio = audio[: len(audio) // VAD_WINDOW * VAD_WINDOW]
        samples = np.round(np.clip(audio, -1, 1) * 32767).astype("<i2")
        windows = samples.reshape(-1, VAD_WINDOW)
        detector = self.detector_type(3)  # a new one each time: it adapts to what it heard
        heard = np.array([detector.is_speech(each.tobytes(), RATE) for each in windows], int)
        count = len(heard)
        votes = np.convolve(heard, np.ones(SMOOTHED, int))[SMOOTHED // 2 :][:count]
        near = np.convolve(votes > SMOOTHED // 2, np.ones(2 * KEPT + 1, int))[KEPT:][:count]
        return audio[np.repeat(near > 0, VAD_WINDOW)]


def _part_starts(samples: int) -> list[int]:
    """Return the first frame of each part of speech."""
    frames = -(-(samples + 1) // HOP)
    starts = list(range(0, max(1, frames - PART + STEP + 1), STEP))
    covered = (samples - starts[-1] * HOP) / (PART * HOP)
    return starts[:-1] if len(starts) > 1 and covered < COVERAGE else starts


def _read(path: Path) -> dict[str, Tensor]:
    state = read_torch_file(path)
    try:
        tensors = state["model_state"].items()
    except (TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} holds no speaker encoder") from error
    return {name: tensor for name, tensor in tensors if name.startswith(("lstm.", "linear."))}
