"""Load a codec, with its own decoder or with another one."""

import re
from pathlib import Path

from bark.errors import MissingFileError, SettingError
from bark.storage.hub import HUB_ID, fetch
from bark.storage.weights import read_weights

from .base import Codec
from .carrier import CarrierCodec
from .encodec import EncodecCodec
from .mel import MelCodec
from .vocos import VocosCodec, vocos_from

PUBLISHED = "vocos"  # the name for EnCodec's published decoder
HUB_REPO = "charactr/vocos-encodec-24khz"
HUB_FILE = "pytorch_model.bin"
WEIGHTS = "decoder.safetensors"
FILES = (".safetensors", ".bin", ".pt", ".pth")


def load_codec(path: Path, kind: str, decoder: str | Path | None = None) -> Codec:
    """Load the codec of a model folder ("mel") or EnCodec from a file or folder ("encodec").

    `decoder` as in `with_decoder`; None leaves the codec its own.
    """
    codec: Codec = MelCodec.load(path) if kind == "mel" else EncodecCodec.from_pretrained(path)
    return codec if decoder is None else with_decoder(codec, decoder)


def with_decoder(codec: Codec, decoder: str | Path) -> VocosCodec:
    """Return a codec that encodes as `codec` and decodes with Vocos.

    Parameters
    ----------
    decoder : "vocos" (the published one for EnCodec, from the hub), another hub id, a folder or a
        file of weights.

    Raises
    ------
    SettingError
        If "vocos" is asked for a codec that is not EnCodec.
    MissingFileError
        If there is no such file.
    CheckpointError
        If the weights are no Vocos, or one for other codes.
    """
    if str(decoder) == PUBLISHED and codec.family != "encodec":
        raise SettingError(
            f"decoder {PUBLISHED!r} for this model",
            got=f"the codec {codec.family!r}",
            allowed="a model that speaks EnCodec's codes",
            fix="Leave the decoder out",
        )
    path = _weights_file(decoder)
    network = vocos_from(read_weights(path), codec.codebook_size, codec.hop_length, str(path))
    base = codec.base if isinstance(codec, VocosCodec) else codec
    return CarrierCodec(base, network) if isinstance(base, MelCodec) else VocosCodec(base, network)


def _weights_file(decoder: str | Path) -> Path:
    """Find the weights: a file, one in a folder, or one on the hub."""
    path = Path(decoder)
    if path.is_dir():
        found = [path / WEIGHTS, path / HUB_FILE]
        path = next((file for file in found if file.is_file()), found[0])
    if path.is_file():
        return path
    if str(decoder) == PUBLISHED:
        return fetch(HUB_REPO, HUB_FILE)
    named = re.fullmatch(HUB_ID, str(decoder))
    if named and path.suffix not in FILES:
        return fetch(str(decoder), HUB_FILE)
    raise MissingFileError(
        "decoder weights not found", got=path, allowed=f"{PUBLISHED}, a hub id, a folder or a file"
    )
