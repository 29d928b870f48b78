"""Train nano's decoder, a small Vocos, on the codes of nano's codec: data and losses.

The codec stays as it is: its encoder makes the codes of each crop, at any level and from any first
1 to 8 codebooks, and `bark.codec.vocos.Vocos` learns to turn the carrier of their magnitudes
(`bark.codec.carrier`) into the audio. It starts as no change to the carrier. Much of the speech was
sampled at 16 kHz and has nothing above 8 kHz, so each voice's band is measured and no loss looks
above it. How the band above 8 kHz sounds is learnt from the few wide-band voices, half of the time
from codes of their narrow-band copy. After `adversarial_from` steps small discriminators, which
learn in the same steps, judge what is below the band.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bark.codec.carrier import carrier
from bark.codec.decoder import WEIGHTS
from bark.codec.mel import NUM_CODEBOOKS, MelAutoencoder, MelCodec
from bark.codec.spectra import FFT_LENGTH, HOP_LENGTH, SAMPLE_RATE
from bark.codec.vocos import Vocos, VocosConfig, bandwidth_index, save_vocos
from bark.errors import MissingFileError
from bark.storage.weights import read_weights, weights_digest
from training.engine.progress import SILENT, Progress
from training.engine.run_folder import load_network
from training.engine.trainer import Trainer, TrainerOptions
from training.nano.corpus.corpus import load_voice, split_of, voice_paths

from .codec import (
    BOOKS_USED,
    GAIN_DB,
    band_centres,
    envelope_loss,
    level_loss,
    spectral_loss,
)
from .discriminators import Discriminators, adversarial_losses
from .options import NanoOptions

STEPS = 20_000
MARGIN = 8  # frames to each side that the encoder sees and the decoder does not
SHARES = {"synthetic": 0.25, "narrow": 0.5, "wide": 0.25}  # of the items, of the kinds there are
NARROW = 8000.0  # Hz: the band of 16 kHz speech
WIDE = 9500.0  # Hz: a wide-band voice reaches so far; a resampled narrow-band one does not
FADED = 1e-7  # mean power over that of the strongest frequency: nothing was there, but noise
RESOLUTIONS = (512, 2048)  # samples of the transforms compared beside the codec's own, of 1024
FLOOR = 1e-2  # added to a magnitude before the logarithm


@dataclass(frozen=True)
class DecoderRecipe:
    """Settings of the decoder's training."""

    batch: int = 8  # items
    frames: int = 64  # frames of an item
    seconds_per_voice: float = 120.0  # of each voice, at most
    envelope_weight: float = 0.5
    level_weight: float = 0.1
    convergence_weight: float = 0.5  # of the linear magnitudes beside the logarithmic ones
    adversarial_from: int = 4000  # steps without discriminators before those with them
    discriminator_weight: float = 0.1  # so that clipping all gradients leaves the decoder its own
    adversarial_weight: float = 0.1
    feature_weight: float = 0.2


def band_of(audio: np.ndarray) -> float:
    """Return up to which frequency, in Hz, ``(N,)`` samples have content."""
    length = 1024
    frames = audio[: len(audio) // length * length].reshape(-1, length).astype(np.float32)
    power = (np.abs(np.fft.rfft(frames * np.hanning(length))) ** 2).mean(0)
    return float(np.flatnonzero(power > FADED * power.max())[-1] * SAMPLE_RATE / length)


class BandedVoice(NamedTuple):
    """What a voice says, and up to which frequency there is anything."""

    name: str
    audio: np.ndarray  # (N,) int16
    band: float  # Hz


class BandedPool:
    """Random crops of one side of the corpus, each with its band.

    Parameters
    ----------
    work : folder whose ``corpus/`` is read; voices named ``real_…`` are recordings.
    validation : draw from the held-out voices and every 40th recorded person, else from all others.
    """

    def __init__(self, work: Path, recipe: DecoderRecipe, validation: bool = False) -> None:
        self.recipe = recipe
        self.length = (recipe.frames + 2 * MARGIN) * HOP_LENGTH
        limit = int(recipe.seconds_per_voice * SAMPLE_RATE)
        self.voices: dict[str, list[BandedVoice]] = {}
        paths = voice_paths(work)
        for path in paths:
            split = split_of(path)
            if split == "prompt" or (split != "train") != validation:
                continue
            audio = load_voice(path).audio[:limit].copy()
            if len(audio) <= self.length:
                continue
            band = band_of(audio)
            kind = "wide" if band >= WIDE else "narrow"
            if not path.stem.startswith("real_"):
                kind = "synthetic"
            self.voices.setdefault(kind, []).append(BandedVoice(path.stem, audio, band))
        if not self.voices:
            raise MissingFileError(
                "no training speech found", got=str(work), fix="Run the corpus step first"
            )
        self.kinds = sorted(self.voices)
        shares = np.array([SHARES[kind] for kind in self.kinds])
        self.shares = shares / shares.sum()
        self.weights = {}  # of each voice among its kind: how long it is
        for kind, voices in self.voices.items():
            lengths = np.array([len(voice.audio) for voice in voices], dtype=float)
            self.weights[kind] = lengths / lengths.sum()

    def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        """Draw ``audio`` (B, N), ``heard`` (B, N), the same or its narrow-band copy, which is what
        the encoder gets, ``band`` (B,) in Hz and ``books`` (B,).
        """
        audio, heard, bands = [], [], []
        for _ in range(self.recipe.batch):
            kind = self.kinds[generator.choice(len(self.kinds), p=self.shares)]
            voices = self.voices[kind]
            _, voice, band = voices[generator.choice(len(voices), p=self.weights[kind])]
            start = int(generator.integers(0, len(voice) - self.length))
            gain = 10 ** (generator.uniform(*GAIN_DB) / 20) / 32768
            crop = voice[start : start + self.length].astype(np.float32) * np.float32(gain)
            narrow = band >= WIDE and generator.random() < 0.5
            audio.append(crop)
            heard.append(narrowed(crop) if narrow else crop)
            bands.append(band)
        return {
            "audio": torch.from_numpy(np.stack(audio)),
            "heard": torch.from_numpy(np.stack(heard)),
            "band": torch.tensor(bands, dtype=torch.float32),
            "books": torch.from_numpy(generator.choice(BOOKS_USED, self.recipe.batch)),
        }


def narrowed(audio: np.ndarray) -> np.ndarray:
    """Take out everything above 8 kHz, as sampling at 16 kHz does."""
    spectrum = np.fft.rfft(audio)
    spectrum[int(len(audio) * NARROW / SAMPLE_RATE) :] = 0
    return np.fft.irfft(spectrum, len(audio)).astype(np.float32)


class DecoderTraining(nn.Module):
    """The decoder with the codec whose codes it decodes; the codec does not change."""

    def __init__(self, codec: MelAutoencoder, config: VocosConfig) -> None:
        super().__init__()
        self.codec = codec.requires_grad_(False)
        self.decoder = Vocos(config)
        self.discriminators = Discriminators()
        nn.init.zeros_(self.decoder.head.out.weight)
        nn.init.zeros_(self.decoder.head.out.bias)

    def decode(self, codes: Tensor, books: Tensor) -> Tensor:
        """Decode the first ``books[b]`` of ``(B, 8, T)`` codes: ``(B, 320 T)``."""
        with torch.no_grad(), torch.autocast(codes.device.type, enabled=False):
            frames = self.codec.decoder(sum_of_entries(self.codec, codes, books))
            start = carrier(self.codec.magnitude(frames))
        condition = torch.tensor([bandwidth_index(int(k)) for k in books], device=codes.device)
        hidden: Tensor = self.decoder.backbone(frames, condition)
        audio: Tensor = self.decoder.head(hidden, start)
        return audio


def sum_of_entries(codec: MelAutoencoder, codes: Tensor, books: Tensor) -> Tensor:
    """Return the latent ``(B, T, latent)`` of the first ``books[b]`` of ``(B, 8, T)`` codes."""
    number = torch.arange(NUM_CODEBOOKS, device=codes.device)
    entries = codec.codebooks[number[:, None], codes]  # (B, 8, T, latent)
    used = number[:, None] < books[:, None, None]  # (B, 8, 1)
    return (entries * used[..., None]).sum(1)


def decoder_config(codec: MelAutoencoder) -> VocosConfig:
    """Return the sizes of nano's decoder."""
    return VocosConfig(
        codebooks=0, inputs=codec.config.bands, width=256, inner=768, blocks=4,
        fft_length=FFT_LENGTH, hop_length=HOP_LENGTH,
    )  # fmt: skip


def train_decoder(options: NanoOptions, progress: Progress = SILENT) -> None:
    """Train the decoder on the corpus and write ``decoder.safetensors``, for the model's folder."""
    codec = MelCodec.load(options.work / "codec").network
    torch.manual_seed(options.seed)
    network = DecoderTraining(codec, decoder_config(codec))
    if options.init is not None:
        load_network(network.decoder, read_weights(options.init), options.init)
    trainer_options = TrainerOptions(
        steps=options.steps or STEPS,
        learning_rate=1e-3,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        seed=options.seed,
        device=options.device,
    )
    objective = DecoderObjective(options.work, DecoderRecipe())
    shown: dict[str, Any] = {"progress": progress, "what": "training the decoder"}
    shown["fingerprint"] = {"start": weights_digest(network)}
    Trainer(network, objective, options.work / "runs" / "decoder", trainer_options, **shown).run()
    save_vocos(network.decoder, options.work / WEIGHTS)


class PoolObjective:
    """What the trainer asks of a decoder, but for the losses."""

    def __init__(self, pool: BandedPool, unseen: BandedPool, validation_batches: int) -> None:
        self.pool, self.unseen, self.validation_batches = pool, unseen, validation_batches

    def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        """Draw a batch of the training voices."""
        return self.pool.batch(generator)

    def validation(self) -> Iterator[dict[str, Tensor]]:
        """Yield fixed batches of voices that are not trained on."""
        generator = np.random.default_rng(2**31)
        for _ in range(self.validation_batches):
            yield self.unseen.batch(generator)

    def begin_step(self, network: nn.Module, step: int, seed: int) -> None:
        """Nothing changes from step to step."""


class DecoderObjective(PoolObjective):
    """What the trainer asks of the decoder: batches and losses."""

    def __init__(self, work: Path, recipe: DecoderRecipe, validation_batches: int = 8) -> None:
        pools = BandedPool(work, recipe), BandedPool(work, recipe, validation=True)
        super().__init__(*pools, validation_batches)
        self.recipe = recipe

    def loss(
        self,
        network: DecoderTraining,
        batch: dict[str, Tensor],
        step: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and figures to report."""
        codec = network.codec
        device = batch["audio"].device.type
        with torch.no_grad(), torch.autocast(device, enabled=False):
            latent = codec.encoder(codec.normalise(codec.mel(batch["heard"])))[:, MARGIN:-MARGIN]
            codes = codec.quantize(latent.flatten(0, 1))  # (8, B * T)
        codes = codes.unflatten(1, latent.shape[:2]).transpose(0, 1)
        output = network.decode(codes, batch["books"])
        target = batch["audio"][:, MARGIN * HOP_LENGTH : -MARGIN * HOP_LENGTH]
        with torch.autocast(device, enabled=False):
            ours, theirs = self._frames(codec, output, target, batch["band"])
            figures = {
                "spectral": spectral_loss(codec, ours, theirs),
                "envelope": envelope_loss(codec, ours, theirs),
                "level": level_loss(codec, ours, theirs),
            }
            logarithm, convergence = magnitude_losses(output, target, batch["band"])
            figures |= {"magnitude": logarithm, "convergence": convergence}
        total = (
            figures["spectral"]
            + self.recipe.envelope_weight * figures["envelope"]
            + self.recipe.level_weight * figures["level"]
            + logarithm
            + self.recipe.convergence_weight * convergence
        )
        # validation compares without them: they change, and its losses are to be one measure
        if network.training and step >= self.recipe.adversarial_from:
            banded = (below_band(audio, batch["band"]) for audio in (output, target))
            adversarial = adversarial_losses(network.discriminators, *banded)
            total = (
                total
                + self.recipe.discriminator_weight * adversarial["discriminator"]
                + self.recipe.adversarial_weight * adversarial["adversarial"]
                + self.recipe.feature_weight * adversarial["features"]
            )
            figures |= adversarial
        return total, {name: float(value.detach()) for name, value in figures.items()}

    def _frames(
        self, codec: MelAutoencoder, output: Tensor, target: Tensor, band: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the normalised mel frames of output and target, equal above each item's band."""
        with torch.no_grad():
            theirs = codec.normalise(codec.mel(target))
        ours = codec.normalise(codec.mel(output))
        above = band_centres(codec) > band[:, None, None]
        return torch.where(above, theirs, ours), theirs


def below_band(audio: Tensor, band: Tensor) -> Tensor:
    """Take out of ``(B, N)`` audio what is above each item's band, in Hz."""
    with torch.autocast(audio.device.type, enabled=False):
        spectrum = torch.fft.rfft(audio.float())
        frequencies = torch.fft.rfftfreq(audio.shape[1], 1 / SAMPLE_RATE, device=audio.device)
        return torch.fft.irfft(spectrum * (frequencies <= band[:, None]), audio.shape[1])


def magnitude_losses(output: Tensor, target: Tensor, band: Tensor) -> tuple[Tensor, Tensor]:
    """Compare magnitudes of ``(B, N)`` audio at several resolutions, below each item's band.

    Returns
    -------
    the mean distance of their logarithms; and that of the magnitudes over the target's.
    """
    logarithm = convergence = torch.zeros((), device=output.device)
    for length in RESOLUTIONS:
        window = torch.hann_window(length, device=output.device)
        scale = (1024 / length) ** 0.5  # noise is then as loud at each

        def magnitude(
            audio: Tensor, length: int = length, window: Tensor = window, scale: float = scale
        ) -> Tensor:
            found = torch.stft(audio, length, length // 4, window=window, return_complex=True)
            return found.abs() * scale  # (B, length / 2 + 1, frames)

        with torch.no_grad():
            theirs = magnitude(target)
        frequencies = torch.arange(length // 2 + 1, device=output.device) * SAMPLE_RATE / length
        above = (frequencies > band[:, None])[..., None]
        ours = torch.where(above, theirs, magnitude(output))
        logarithm = logarithm + ((ours + FLOOR).log() - (theirs + FLOOR).log()).abs().mean()
        error = (ours - theirs).abs().sum((1, 2)) / (theirs.sum((1, 2)) + 1)
        convergence = convergence + error.mean()
    return logarithm / len(RESOLUTIONS), convergence / len(RESOLUTIONS)
