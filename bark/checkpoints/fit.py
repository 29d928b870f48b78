"""Whether a network has the vocabulary and the context window that a token layout needs."""

from bark.errors import CheckpointError
from bark.stages.gpt_fine import FineGPTConfig
from bark.tokens import TokenLayout

from .formats import Network


def check_layout(network: Network, stage: str, layout: TokenLayout, where: str) -> None:
    """Refuse a network whose vocabulary or window is too small for the token layout it is to speak.

    This catches a semantic and a coarse file that were swapped.
    """
    config = network.config
    needs = {
        "semantic": {
            "input_vocab_size": layout.semantic_infer + 1,
            "output_vocab_size": layout.semantic_vocab + 1,
            "block_size": layout.text_window + layout.max_semantic,
        },
        "coarse": {
            "input_vocab_size": layout.coarse_infer + 1,
            "output_vocab_size": layout.coarse_offset + layout.coarse_books * layout.codebook_size,
            "block_size": layout.coarse_semantic_window
            + layout.max_coarse_history
            + layout.sliding_window,
        },
        "fine": {
            "input_vocab_size": layout.codebook_size + 1,
            "output_vocab_size": layout.codebook_size,
            "block_size": layout.fine_window,
        },
    }[stage]
    for size, least in needs.items():
        if getattr(config, size) < least:
            raise CheckpointError(
                f"{where}: the {stage} model's {size}",
                getattr(config, size),
                f"{least} or more for its tokens",
            )
    if isinstance(config, FineGPTConfig) and config.n_codes_total != layout.fine_books:
        raise CheckpointError(
            f"{where}: the fine model's codebooks", config.n_codes_total, layout.fine_books
        )
