"""The sizes of nano's codec, and how large a file may make them."""

from dataclasses import dataclass

import msgspec

FFT_LENGTH = 1_024  # samples
NUM_CODEBOOKS = 8
CODEBOOK_SIZE = 1_024


@dataclass(frozen=True)
class MelCodecConfig:
    """Sizes of the autoencoder and the settings of phase reconstruction."""

    bands: int = 112  # mel bands
    floor: float = 1e-2  # added to the mel magnitude before the logarithm
    latent: int = 64  # width of a codebook entry
    encoder_width: int = 160
    encoder_blocks: int = 2
    decoder_width: int = 224
    decoder_blocks: int = 3
    expansion: int = 3  # inner width of a block over its outer width
    iterations: int = 30  # Griffin-Lim rounds
    momentum: float = 0.99  # fast Griffin-Lim's momentum

    def least_numbers(self) -> int:
        """Return how many weights the large matrices alone have."""
        blocks = (
            self.encoder_width**2 * self.encoder_blocks
            + self.decoder_width**2 * self.decoder_blocks
        )
        return 2 * self.expansion * blocks + NUM_CODEBOOKS * CODEBOOK_SIZE * self.latent


# What a file may ask for: several times nano's sizes, seconds of phase reconstruction.
LIMITS = {
    "bands": msgspec.Meta(ge=2, le=FFT_LENGTH // 2),
    "floor": msgspec.Meta(gt=0, le=1),
    "latent": msgspec.Meta(ge=1, le=1024),
    "encoder_width": msgspec.Meta(ge=1, le=4096),
    "encoder_blocks": msgspec.Meta(ge=0, le=64),
    "decoder_width": msgspec.Meta(ge=1, le=4096),
    "decoder_blocks": msgspec.Meta(ge=0, le=64),
    "expansion": msgspec.Meta(ge=1, le=16),
    "iterations": msgspec.Meta(ge=0, le=1000),
    "momentum": msgspec.Meta(ge=0, le=1),
}
