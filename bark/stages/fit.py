"""Whether a network has the vocabularies and the context window that a token layout needs."""

from typing import Any

from bark.errors import BarkError, SettingError
from bark.tokens import TokenLayout


def check_fit(
    config: Any,
    stage: str,
    layout: TokenLayout,
    where: str = "",
    error: type[BarkError] = SettingError,
) -> None:
    """Refuse a network that is too small for the token layout that it is to speak.

    In files this catches a semantic and a coarse network that were swapped.

    Parameters
    ----------
    config : sizes of the network.
    where : what is complained of, such as its file.
    """
    spoken = layout.coarse_offset + layout.coarse_books * layout.codebook_size
    asked = max(layout.coarse_infer, layout.coarse_semantic_pad) + 1
    heard = layout.coarse_semantic_window + layout.max_coarse_history + layout.sliding_window
    needs = {  # ids in, ids out, positions
        "semantic": (
            layout.semantic_infer + 1,
            layout.semantic_pad + 1,
            layout.text_window + layout.max_semantic,
        ),
        "coarse": (max(asked, spoken), spoken, heard),
        "fine": (layout.codebook_size + 1, layout.codebook_size, layout.fine_window),
    }[stage]
    prefix = f"{where}: " if where else ""
    sizes = ("input_vocab_size", "output_vocab_size", "block_size")
    for size, least in zip(sizes, needs, strict=True):
        if getattr(config, size) < least:
            raise error(
                f"{prefix}the {stage} model's {size}",
                getattr(config, size),
                f"{least} or more for its tokens",
            )
    if stage == "fine" and config.n_codes_total != layout.fine_books:
        raise error(f"{prefix}the fine model's codebooks", config.n_codes_total, layout.fine_books)
    if stage == "fine" and max(layout.fine_history, layout.fine_hop) > (
        room := layout.fine_window - layout.fine_hop
    ):
        raise error(
            f"{prefix}token layout: fine_history and fine_hop",
            f"{layout.fine_history} and {layout.fine_hop}",
            f"each at most fine_window - fine_hop, {room}",
        )
