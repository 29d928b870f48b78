"""The speakers of a work folder's corpus, with the tokens and codes of what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bark.errors import MissingFileError
from training.nano.corpus.corpus import voice_paths
from training.nano.corpus.recordings import ROOM
from training.stages.alignment import align_text
from training.stages.examples import Example, Speaker, TextEncoder


def load_speakers(
    work: Path, split: str, needs: tuple[str, ...], encode: TextEncoder | None = None
) -> tuple[Speaker, ...]:
    """Read the utterances of every voice of a split; texts kept for tests (role "test") are left
    out.

    Parameters
    ----------
    work : folder with ``corpus/``, ``tokens/`` (semantic) and ``codes/``: one file a voice in each.
    split : "train", "heldout", or "kept_back", which may be empty. Bad recordings ("prompt") come
        as the prompts of the speaker they are of.
    needs : "tokens" and "codes", as far as wanted; what is not comes empty.
    encode : text → ids; without it examples carry no text.

    Raises
    ------
    MissingFileError : if a voice lacks what is needed.
    """
    speakers: list[Speaker] = []
    prompts: dict[str, tuple[Example, ...]] = {}
    for path in voice_paths(work):
        with np.load(path, allow_pickle=False) as voice:
            found = str(voice["split"])
            if found not in (split, "prompt"):
                continue
            starts, texts, roles, phones = (
                voice[key] for key in ("starts", "texts", "roles", "phones")
            )
            folder = int(voice["folder"]) if "folder" in voice else 0
        semantic = (
            _read(work, "tokens", path.name, "semantic")
            if "tokens" in needs
            else np.zeros(0, np.int64)
        )
        codes = (
            _read(work, "codes", path.name, "codes")
            if "codes" in needs
            else np.zeros((8, 0), np.int64)
        )
        examples = []
        for index in np.flatnonzero(roles != "test"):
            words = str(texts[index])
            ids = np.array(encode(words), dtype=np.int64) if encode and words else None
            first, last = int(starts[index]), int(starts[index + 1])
            units, frames = slice(first // 480, last // 480), slice(first // 320, last // 320)
            alignment = align_text(phones[units], ids) if ids is not None else None
            examples.append(Example(ids, semantic[units], codes[:, frames], alignment))
        if found == "prompt":
            prompts[path.stem.removesuffix(ROOM)] = tuple(examples)
            continue
        real = path.stem.startswith("real_")
        speakers.append(Speaker(path.stem, real, tuple(examples), folder))
    if not speakers and split != "kept_back":
        raise MissingFileError(
            f"no {split} voices in {work / 'corpus'}", fix="Run the step corpus first"
        )
    return tuple(replace(speaker, prompts=prompts.get(speaker.name, ())) for speaker in speakers)


def _read(work: Path, folder: str, name: str, key: str) -> np.ndarray:
    path = work / folder / name
    if not path.is_file():
        step = {"tokens": "hubert", "codes": "codes"}[folder]
        raise MissingFileError(f"{path} is missing", fix=f"Run the step {step} first")
    with np.load(path, allow_pickle=False) as file:
        return file[key].astype(np.int64)
