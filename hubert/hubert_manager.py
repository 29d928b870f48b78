"""gitmylo's import path: turns a wish for HuBERT or a quantizer into a file under
``data/models/hubert``.

His notebooks open those files by name afterwards, so they are put there, relative to the current
folder."""

import shutil
from pathlib import Path

from bark.storage.atomic import atomic_write
from bark.storage.hub import fetch
from hubert.quantizer.languages import QUANTIZERS

from .features import HUB_REPO

FOLDER = Path("data", "models", "hubert")
DEFAULT = QUANTIZERS["en"]


class HuBERTManager:
    """Puts the published files where gitmylo's and serp-ai's notebooks look for them."""

    @staticmethod
    def make_sure_hubert_installed(
        download_url: str | None = None, file_name: str = "hubert.pt"
    ) -> str:
        """Return the path of HuBERT base, fetched from the hub if it is not there.

        `download_url`, gitmylo's address of fairseq's file, is accepted and has no effect.
        """
        return _install(HUB_REPO, "pytorch_model.bin", FOLDER / file_name)

    @staticmethod
    def make_sure_tokenizer_installed(
        model: str = DEFAULT.file, repo: str = DEFAULT.repo, local_file: str | None = None
    ) -> str:
        """Return the path of a quantizer, fetched if it is not there.

        Only the default one is called ``tokenizer.pth``; any other keeps its name, so that a change
        of language never finds the file of the one before."""
        return _install(
            repo,
            model,
            FOLDER / (local_file or ("tokenizer.pth" if model == DEFAULT.file else model)),
        )


def _install(repo: str, file: str, target: Path) -> str:
    if not target.is_file():
        source = fetch(repo, file)
        with atomic_write(target) as temporary:
            shutil.copyfile(source, temporary)
    return str(target)
