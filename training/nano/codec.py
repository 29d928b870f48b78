"""Trains nano's codec: its data, its losses and the updates of its codebooks.

The network is `bark.codec.mel.MelAutoencoder`. Training has two stages inside one run: first the
autoencoder alone, with noise on its latent; then k-means fills the codebooks and every item is
decoded from its first 1 to 8 of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bark.codec.mel import (
    CODEBOOK_SIZE,
    NUM_CODEBOOKS,
    MelAutoencoder,
    MelCodecConfig,
    nearest,
)
from bark.codec.spectra import FFT_LENGTH, HOP_LENGTH, SAMPLE_RATE, spectrum
from bark.errors import MissingFileError
from training.nano.corpus.corpus import load_voice, split_of, voice_paths
from training.nano.hubert.units import assign, kmeans

from .likeness import DifferentiableEmbedder, voice_distance

BOOKS_USED = (
    1,
    2,
    2,
    2,
    3,
    4,
    4,
    6,
    8,
    8,
    8,
    8,
)  # how many codebooks an item is decoded from: drawn from these
GAIN_DB = (-20.0, 6.0)  # range of random levels
REAL_SHARE = 0.5  # of the items, when both kinds of speech are there
ENVELOPE_BANDS, ENVELOPE_FRAMES = 15, 32  # third octaves from 150 Hz; frames of one correlation
LEVEL_FRAMES = 8  # frames over which the level is compared
DECAY = 0.98  # of the codebooks' running means
DEAD = 0.03  # running count below which an entry is moved to a current point


@dataclass(frozen=True)
class CodecRecipe:
    """Settings of the codec's training."""

    plain_steps: int = 150  # steps without quantisation
    batch: int = 16  # items
    frames: int = 128  # frames of an item
    seconds_per_voice: float = 120.0  # of each voice, at most
    envelope_weight: float = 0.5
    level_weight: float = 0.1
    commit_weight: float = 0.25
    likeness_weight: float = 0.25
    heard: int = 6  # items of a batch that the speaker encoder hears: those of the fewest codebooks
    kmeans_batches: int = 20
    kmeans_rounds: int = 6


class SpeechPool:
    """Random crops of speech, half from real and half from synthetic voices.

    Parameters
    ----------
    work : Path Folder whose ``corpus/`` is read; voices named ``real_…`` are recordings. Only the
        split ``train`` is used.
    recipe : CodecRecipe
        Crop size and the limit for a voice.
    """

    def __init__(self, work: Path, recipe: CodecRecipe) -> None:
        self.recipe = recipe
        limit = int(recipe.seconds_per_voice * SAMPLE_RATE)
        kinds: dict[bool, list[np.ndarray]] = {True: [], False: []}
        for path in voice_paths(work):
            kinds[path.name.startswith("real_")].append(training_audio(path, limit))
        self.pools = [np.concatenate(parts) for parts in kinds.values() if sum(map(len, parts))]
        if not self.pools:
            raise MissingFileError(
                "no training speech found", got=str(work), fix="Run the corpus step first"
            )

    def crops(self, generator: np.random.Generator) -> Tensor:
        """Draw ``(B, 320 * (frames + 2))`` float32 at random levels; one frame of context on each
        side.
        """
        length = (self.recipe.frames + 2) * HOP_LENGTH
        rows = []
        for _ in range(self.recipe.batch):
            real = len(self.pools) == 1 or generator.random() < REAL_SHARE
            pool = self.pools[0 if real else 1]
            start = int(generator.integers(0, max(1, len(pool) - length)))
            crop = pool[start : start + length].astype(np.float32) / 32768
            rows.append(
                np.pad(crop, (0, length - len(crop))) * 10 ** (generator.uniform(*GAIN_DB) / 20)
            )
        return torch.from_numpy(np.stack(rows).astype(np.float32))


def training_audio(path: Path, limit: int) -> np.ndarray:
    """Return the first `limit` samples of a training voice, ``(N,)`` int16; none of a
    held-out one.
    """
    if split_of(path) != "train":
        return np.zeros(0, dtype=np.int16)
    return load_voice(path).audio[:limit].copy()


class CodecTraining(nn.Module):
    """The autoencoder with the running statistics that move its codebooks.

    Attributes
    ----------
    autoencoder : MelAutoencoder
        What is kept in the end.
    counts, sums : Tensor Running use ``(8, 1024)`` of each entry and running sum ``(8, 1024,
        latent)`` of what it stood for.
    embedder : DifferentiableEmbedder
        Hears voices; does not change."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__()
        self.autoencoder = MelAutoencoder(config)
        self.register_buffer("counts", torch.ones(NUM_CODEBOOKS, CODEBOOK_SIZE))
        self.register_buffer("sums", torch.zeros_like(self.autoencoder.codebooks))
        self.counts: Tensor
        self.sums: Tensor
        self.embedder = DifferentiableEmbedder()

    @torch.no_grad()
    def set_scale(self, mels: Tensor) -> None:
        """Set the mean of each band and the common deviation from ``(..., bands)``
        mel magnitudes.
        """
        logarithm = torch.log(mels.reshape(-1, mels.shape[-1]) + self.autoencoder.config.floor)
        self.autoencoder.mean.copy_(logarithm.mean(0))
        self.autoencoder.deviation.fill_(float(logarithm.std()))

    @torch.no_grad()
    def fill_codebooks(self, latent: Tensor, rounds: int, generator: torch.Generator) -> None:
        """Fill all codebooks by k-means on ``(M, latent)``, each on what the ones before leave."""
        left = latent.clone()
        for index in range(NUM_CODEBOOKS):
            book = kmeans(left, CODEBOOK_SIZE, iterations=rounds, generator=generator)
            codes = assign(left, book)
            use = torch.bincount(codes, minlength=CODEBOOK_SIZE).float() * (2048 / len(left))
            self.autoencoder.codebooks[index] = book
            self.counts[index] = use
            self.sums[index] = book * use[:, None]
            left -= book[codes]

    @torch.no_grad()
    def quantize(self, latent: Tensor, books: Tensor, generator: torch.Generator) -> Tensor:
        """Quantize ``(B, T, latent)`` with the first ``books[b]`` codebooks; in training mode move
        these.
        """
        batch, frames, width = latent.shape
        left = latent.reshape(-1, width).clone()
        total = torch.zeros_like(left)
        depth = books.repeat_interleave(frames)  # (B*T,)
        for index in range(int(books.max())):
            used = depth > index
            points = left[used]
            book = self.autoencoder.codebooks[index]
            codes = nearest(points, book)
            entries = book[codes]
            total[used] += entries
            left[used] = points - entries
            if self.training:
                self._move(index, points, codes, generator)
        return total.reshape(batch, frames, width)

    def _move(self, index: int, points: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        counts, sums, book = self.counts[index], self.sums[index], self.autoencoder.codebooks[index]
        use = torch.bincount(codes, minlength=CODEBOOK_SIZE).float()
        counts.mul_(DECAY).add_(use, alpha=1 - DECAY)
        sums.mul_(DECAY).add_(torch.zeros_like(sums).index_add_(0, codes, points), alpha=1 - DECAY)
        book.copy_(sums / counts.clamp(min=1e-3)[:, None])
        dead = counts < DEAD
        if dead.any():
            chosen = torch.randint(len(points), (int(dead.sum()),), generator=generator)
            fresh = points[chosen.to(points.device)]
            book[dead], counts[dead], sums[dead] = fresh, 0.5, fresh * 0.5


class CodecObjective:
    """What the trainer asks of the codec: batches, losses, and the start of its second stage."""

    def __init__(self, pool: SpeechPool, recipe: CodecRecipe, validation_batches: int = 8) -> None:
        self.pool, self.recipe, self.validation_batches = pool, recipe, validation_batches

    def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        """Draw ``audio`` (B, samples) and ``books`` (B,), the number of codebooks an item is
        decoded from, in ascending order.
        """
        books = torch.from_numpy(np.sort(generator.choice(BOOKS_USED, self.recipe.batch)))
        return {"audio": self.pool.crops(generator), "books": books}

    def validation(self) -> Iterator[dict[str, Tensor]]:
        """Yield fixed batches."""
        generator = np.random.default_rng(2**31)
        for _ in range(self.validation_batches):
            yield self.batch(generator)

    def begin_step(self, network: CodecTraining, step: int, seed: int) -> None:
        """Set the input scale before step 0, and fill the codebooks before the first quantised
        step.
        """
        device = network.counts.device
        generator = np.random.default_rng([seed, step, 1])
        if step == 0:
            audio = [
                self.pool.crops(generator).to(device) for _ in range(self.recipe.kmeans_batches)
            ]
            network.set_scale(torch.cat([network.autoencoder.mel(part) for part in audio]))
        elif step == self.recipe.plain_steps:
            with torch.no_grad():
                parts = [
                    self._frames(network, self.pool.crops(generator).to(device))
                    for _ in range(self.recipe.kmeans_batches)
                ]
                latent = torch.cat(
                    [network.autoencoder.encoder(part).flatten(0, 1) for part in parts]
                )
            network.fill_codebooks(
                latent, self.recipe.kmeans_rounds, torch.Generator().manual_seed(seed)
            )

    def loss(
        self,
        network: CodecTraining,
        batch: dict[str, Tensor],
        step: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and figures to report."""
        autoencoder = network.autoencoder
        whole = spectrum(batch["audio"])[:, 1:-1]  # (B, frames, 513)
        target = self._frames(network, batch["audio"])
        latent = autoencoder.encoder(target)
        if step < self.recipe.plain_steps:
            noise = torch.randn(latent.shape, generator=generator).to(latent)
            quantized = latent + 0.1 * latent.detach().std() * noise
            side = 0.02 * latent.float().pow(2).mean()
        else:
            with torch.autocast(
                target.device.type, enabled=False
            ):  # half precision would pick wrong entries
                chosen = network.quantize(latent.detach().float(), batch["books"], generator)
            side = self.recipe.commit_weight * (latent.float() - chosen).pow(2).mean()
            quantized = latent + (chosen - latent).detach()  # the gradient passes straight through
        output = autoencoder.decoder(quantized).float()
        with torch.autocast(target.device.type, enabled=False):
            spectral = spectral_loss(autoencoder, output, target)
            envelope = envelope_loss(autoencoder, output, target)
            level = level_loss(autoencoder, output, target)
            some = slice(self.recipe.heard)
            likeness = voice_distance(autoencoder, network.embedder, output[some], whole[some])
        total = (
            spectral
            + self.recipe.envelope_weight * envelope
            + self.recipe.level_weight * level
            + self.recipe.likeness_weight * likeness
            + side
        )
        return total, {
            "spectral": float(spectral.detach()),
            "envelope": float(envelope.detach()),
            "level": float(level.detach()),
            "likeness": float(likeness.detach()),
        }

    def _frames(self, network: CodecTraining, audio: Tensor) -> Tensor:
        """Return normalised log-mel frames ``(B, frames, bands)``, the frames of
        context left out.
        """
        with torch.no_grad(), torch.autocast(audio.device.type, enabled=False):
            autoencoder = network.autoencoder
            return autoencoder.normalise(autoencoder.mel(audio))[:, 1:-1]


def band_centres(autoencoder: MelAutoencoder) -> Tensor:
    """Return the centre of each mel band, ``(bands,)`` in Hz."""
    filters = autoencoder.filters
    return (
        filters
        @ torch.arange(filters.shape[1], device=filters.device).float()
        * (SAMPLE_RATE / FFT_LENGTH)
    )


def spectral_loss(autoencoder: MelAutoencoder, output: Tensor, target: Tensor) -> Tensor:
    """Compare ``(B, T, bands)`` log-mel frames: L1 and L2 plus the change over time and over bands.

    Quiet cells and bands above 5 kHz count less.
    """
    loudness = 0.35 + 0.9 * torch.sigmoid(autoencoder.log_mel(target) + 2.3)
    band_weight = torch.where(band_centres(autoencoder) < 5000, 1.15, 0.6)
    error = (output - target) * loudness * band_weight
    over_time = (error[:, 1:] - error[:, :-1]).abs().mean()
    over_bands = (error[..., 1:] - error[..., :-1]).abs().mean()
    return error.abs().mean() + 0.5 * error.pow(2).mean() + 0.3 * (over_time + over_bands)


def envelope_loss(autoencoder: MelAutoencoder, output: Tensor, target: Tensor) -> Tensor:
    """Return 1 minus the correlation of third-octave envelopes over 32 frames, the idea behind
    STOI.
    """
    centres = band_centres(autoencoder)
    edges = 150.0 * 2 ** ((torch.arange(ENVELOPE_BANDS + 1, device=centres.device) - 0.5) / 3)
    member = ((centres[:, None] >= edges[:-1]) & (centres[:, None] < edges[1:])).float()
    member = member / member.sum(0).clamp(min=1)

    def envelopes(frames: Tensor) -> Tensor:
        bands = autoencoder.log_mel(frames).exp() @ member  # (B, T, 15)
        bands = bands.reshape(len(frames), -1, ENVELOPE_FRAMES, ENVELOPE_BANDS)
        return bands - bands.mean(2, keepdim=True)

    ours, theirs = envelopes(output), envelopes(target)
    similarity = (ours * theirs).sum(2) / (ours.norm(dim=2) * theirs.norm(dim=2) + 1e-2)
    return 1 - similarity.mean()


def level_loss(autoencoder: MelAutoencoder, output: Tensor, target: Tensor) -> Tensor:
    """Return the mean difference of log energy over 8 frames; without it speech comes out too
    quiet.
    """
    width = 1 / autoencoder.filters.max(1).values  # of each band, in bins

    def level(frames: Tensor) -> Tensor:
        energy = ((2 * autoencoder.log_mel(frames)).exp() * width).sum(-1)  # (B, T)
        return torch.log(energy.reshape(len(frames), -1, LEVEL_FRAMES).mean(-1) + 1e-2)

    return (level(output) - level(target)).abs().mean()
