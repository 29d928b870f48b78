"""Trains the decoder of nano's codec on, with more blocks, for the codes as they are.

Encoder and codebooks do not change, so neither do voices, the corpus's codes and the three stages.
What the decoder hears in nano is codes 3 to 8 as the fine stage fills them, not as a recording has
them, so it learns from both. Beside the distances of spectra there is that of voices: the codec's
spectra, with the phases of the recording, are heard by the speaker encoder of `hubert.likeness`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bark.codec.mel import NUM_CODEBOOKS, ConvStack, MelAutoencoder, MelCodec
from bark.codec.spectra import HOP_LENGTH, spectrum
from bark.devices import choose_device
from bark.stages.fine import FineStage
from bark.storage.atomic import atomic_write
from bark.storage.weights import weights_digest
from training.engine.progress import SILENT, Progress
from training.engine.run_folder import BEST, load_network, load_tensors
from training.engine.trainer import Trainer, TrainerOptions
from training.nano.corpus.corpus import own_voices

from .assemble import DEFAULTS, trained_network
from .codec import band_centres, envelope_loss, level_loss, spectral_loss
from .decoder import MARGIN, BandedPool, BandedVoice, DecoderRecipe, PoolObjective, sum_of_entries
from .likeness import DifferentiableEmbedder, voice_distance
from .options import MEL_CODEC, NanoOptions
from .stages import FINE_LAYOUT

STEPS = 2200
BLOCKS = 3  # added to the decoder
# of the trained weights in the average with the earlier ones: true codes then have no larger loss
# than before, and filled codes nearly the loss of the trained weights alone
SHARE = 0.5
CHUNK = 256  # frames that are filled at a time, behind as many of the voice
CHUNKS = 2  # of each voice, at most: 7 s


@dataclass(frozen=True)
class MelRecipe(DecoderRecipe):
    """Settings of the decoder's training."""

    batch: int = 16
    frames: int = 128
    filled_share: float = 0.5  # of the items, of voices that have filled codes
    heard: int = 8  # items of a batch that the speaker encoder hears
    likeness_weight: float = 1.0


def fill_corpus(options: NanoOptions, progress: Progress = SILENT) -> None:
    """Write ``filled/<voice>.npz`` for every voice as it was recorded or spoken.

    ``codes`` (n, 8, 256) int16 are true codes 1 and 2 with 3 to 8 as the fine stage fills them, in
    the voice of another part of the recording; ``starts`` (n,) the frames they begin at.
    """
    layout, work = FINE_LAYOUT, options.work
    network = trained_network("fine", work, layout).eval()
    device = choose_device(options.device or "auto")
    stage = FineStage(network.to(device), layout)
    mark = weights_digest(network)
    own = own_voices(work)
    with progress.task("filled codes", len(own), "voice") as advance:
        for path in own:
            target = work / "filled" / path.name
            if not _is_filled(target, mark):
                with np.load(work / "codes" / path.name, allow_pickle=False) as file:
                    codes = file["codes"].astype(np.int64)
                starts, filled = _fill(stage, codes, options.seed)
                with atomic_write(target) as temporary:
                    np.savez(temporary, starts=starts, codes=filled.astype(np.int16), fine=mark)
            advance(1)


def _is_filled(path: Path, mark: str) -> bool:
    if not path.is_file():
        return False
    with np.load(path, allow_pickle=False) as file:
        return str(file["fine"]) == mark


def _fill(stage: FineStage, codes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where chunks of ``(8, T)`` codes begin, ``(n,)``, and these, ``(n, 8, 256)``."""
    count = min(CHUNKS, codes.shape[1] // CHUNK)
    starts = np.arange(count) * CHUNK
    # the voice is what the recording says half its length later, round and round
    around = np.concatenate([codes, codes], axis=1)
    voices = [around[:, start + codes.shape[1] // 2 :][:, :CHUNK] for start in starts]
    given = [codes[:2, start : start + CHUNK] for start in starts]
    device = stage.model.transformer.wpe.weight.device
    generators = [torch.Generator(device).manual_seed(seed + index) for index in range(count)]
    temperature = DEFAULTS["fine_temperature"]
    filled = stage.generate_batch(given, voices, temperature=temperature, generators=generators)
    return starts, np.stack(filled) if count else np.zeros((0, 8, CHUNK), np.int64)


class FilledPool(BandedPool):
    """Crops of one side of the corpus as `BandedPool` draws them, and some with filled codes."""

    def __init__(self, work: Path, recipe: MelRecipe, validation: bool = False) -> None:
        super().__init__(work, recipe, validation)
        self.share, self.frames = recipe.filled_share, recipe.frames
        self.filled: dict[bool, list[Filled]] = {}  # of synthetic voices, and of people
        for voice in (voice for voices in self.voices.values() for voice in voices):
            path = work / "filled" / f"{voice.name}.npz"
            if path.is_file():
                found = self.filled.setdefault(voice.name.startswith("real_"), [])
                found += _chunks(path, voice)

    def batch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        """Draw a batch, with the ``filled`` codes (B, 8, T) of some items, and else -1."""
        batch = super().batch(generator)
        batch["filled"] = torch.full((len(batch["books"]), NUM_CODEBOOKS, self.frames), -1)
        for row in range(len(batch["books"])):
            if not self.filled or generator.random() >= self.share:
                continue
            kinds = sorted(self.filled)
            chunks = self.filled[kinds[int(generator.integers(len(kinds)))]]
            chunk = chunks[int(generator.integers(len(chunks)))]
            start = int(generator.integers(CHUNK - self.frames + 1))
            audio = chunk.audio[start * HOP_LENGTH :][: self.length].astype(np.float32) / 32768
            batch["audio"][row] = batch["heard"][row] = torch.from_numpy(audio)
            batch["band"][row], batch["books"][row] = chunk.band, NUM_CODEBOOKS
            codes = chunk.codes[:, start : start + self.frames].astype(np.int64)
            batch["filled"][row] = torch.from_numpy(codes)
        return batch


class Filled(NamedTuple):
    """A stretch of speech with filled codes."""

    audio: np.ndarray  # (N,) int16, with 8 frames more on each side
    band: float  # Hz
    codes: np.ndarray  # (8, 256) int16


def _chunks(path: Path, voice: BandedVoice) -> list[Filled]:
    with np.load(path, allow_pickle=False) as file:
        starts, codes = file["starts"], file["codes"]
    edge = MARGIN * HOP_LENGTH
    padded = np.pad(voice.audio, (edge, edge))
    length = CHUNK * HOP_LENGTH + 2 * edge
    places = zip(starts * HOP_LENGTH, codes, strict=True)
    found = (Filled(padded[start : start + length], voice.band, chunk) for start, chunk in places)
    return [each for each in found if len(each.audio) == length]


class MelDecoderTraining(nn.Module):
    """The decoder with what it is trained beside, which does not change."""

    def __init__(self, codec: MelAutoencoder) -> None:
        super().__init__()
        self.codec = codec.requires_grad_(False)
        config = codec.config
        blocks = config.decoder_blocks + BLOCKS
        self.decoder = ConvStack(
            config.latent, config.decoder_width, config.bands, blocks, config.expansion, kernel=5
        )
        self.decoder.load_state_dict(codec.decoder.state_dict(), strict=False)
        for block in self.decoder.blocks[config.decoder_blocks :]:  # they begin as no change
            nn.init.zeros_(block.get_parameter("scale"))
        self.embedder = DifferentiableEmbedder()

    def codes(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the codes of a batch, ``(B, 8, T)``: the filled ones where there are such."""
        codec = self.codec
        latent = codec.encoder(codec.normalise(codec.mel(batch["heard"])))[:, MARGIN:-MARGIN]
        own = codec.quantize(latent.flatten(0, 1)).unflatten(1, latent.shape[:2]).transpose(0, 1)
        return torch.where(batch["filled"] < 0, own, batch["filled"])


class MelDecoderObjective(PoolObjective):
    """What the trainer asks of the decoder: batches and losses."""

    def __init__(self, work: Path, recipe: MelRecipe, validation_batches: int = 8) -> None:
        pools = FilledPool(work, recipe), FilledPool(work, recipe, validation=True)
        super().__init__(*pools, validation_batches)
        self.recipe = recipe

    def loss(
        self,
        network: MelDecoderTraining,
        batch: dict[str, Tensor],
        step: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and figures to report."""
        codec, recipe = network.codec, self.recipe
        device = batch["audio"].device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            latent = sum_of_entries(codec, network.codes(batch), batch["books"])
            whole = spectrum(batch["audio"])[:, MARGIN:-MARGIN]  # (B, T, 513)
            target = codec.normalise(codec.mel(batch["audio"])[:, MARGIN:-MARGIN])
        output = network.decoder(latent).float()
        with torch.autocast(device.type, enabled=False):
            above = band_centres(codec) > batch["band"][:, None, None]
            output = torch.where(above, target, output)
            figures = {
                "spectral": spectral_loss(codec, output, target),
                "envelope": envelope_loss(codec, output, target),
                "level": level_loss(codec, output, target),
            }
            some = slice(recipe.heard)
            figures["likeness"] = voice_distance(codec, network.embedder, output[some], whole[some])
        total = (
            figures["spectral"]
            + recipe.envelope_weight * figures["envelope"]
            + recipe.level_weight * figures["level"]
            + recipe.likeness_weight * figures["likeness"]
        )
        return total, {name: float(value.detach()) for name, value in figures.items()}


def train_mel_decoder(options: NanoOptions, progress: Progress = SILENT) -> None:
    """Train the decoder on the corpus and write ``mel_codec/``, the codec with it."""
    fill_corpus(options, progress)
    codec = MelCodec.load(options.work / "codec").network
    torch.manual_seed(options.seed)
    network = MelDecoderTraining(codec)
    trainer_options = TrainerOptions(
        steps=options.steps or STEPS,
        learning_rate=1e-3,
        optimizer="muon",
        weight_decay=0.01,
        seed=options.seed,
        device=options.device,
    )
    objective = MelDecoderObjective(options.work, MelRecipe())
    shown: dict[str, Any] = {"progress": progress, "what": "training the decoder of mel frames"}
    shown["fingerprint"] = {"start": weights_digest(network.decoder)}
    folder, first = options.work / "runs" / "mel", copy.deepcopy(network.decoder.state_dict())
    Trainer(network, objective, folder, trainer_options, **shown).run()
    load_network(network, load_tensors(folder / BEST)[0], folder)
    for name, tensor in network.decoder.state_dict().items():
        tensor.lerp_(first[name].to(tensor.device), 1 - SHARE)
    MelCodec(with_decoder(network)).save(options.work / MEL_CODEC)


def with_decoder(network: MelDecoderTraining) -> MelAutoencoder:
    """Return the codec with the trained decoder instead of its own."""
    config = replace(network.codec.config, decoder_blocks=len(network.decoder.blocks))
    whole = MelAutoencoder(config)
    kept = {
        name: tensor
        for name, tensor in network.codec.state_dict().items()
        if not name.startswith("decoder.")
    }
    whole.load_state_dict(kept | network.decoder.state_dict(prefix="decoder."))
    return whole
