"""What `bark clone --refine` does: clone each window, refine, keep and show what was spoken."""

import argparse
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from bark.audio.read import load_audio, open_audio
from bark.commandline import say
from bark.errors import MissingFileError, SettingError, TakenError
from bark.pipeline import Bark
from bark.storage.files import expand, read_bounded
from hubert.clone import Cloner, Recording
from hubert.refine import JUDGES, Refiner, Texts
from hubert.refine.judges import OFFLINE, load_judges
from hubert.refine.refine import RECORD
from hubert.refine.texts import ENGLISH
from hubert.refine.windows import clone_windows

MAX_TEXTS = 1 << 20  # bytes
RATE = 16_000  # Hz of a part that takes are compared with


def clone_refined(options: argparse.Namespace, place: Path, consent: str) -> int:
    """Clone recordings of one person into one refined voice at `place`; return the exit code.

    What was spoken goes into a folder beside it.
    """
    folder = place.with_name(f"{place.stem}-refined")
    if folder.exists() and not options.force:
        raise TakenError(f"{folder} exists already", fix="Rename it, or add --force")
    if lost := [str(path) for path in options.recordings if not expand(path).exists()]:
        raise MissingFileError(f"no file {', '.join(lost)}")
    names = [name.strip() for name in (options.judge or OFFLINE).split(",") if name.strip()]
    if unknown := [name for name in names if name not in JUDGES]:
        raise SettingError("judge", unknown[0], ", ".join(JUDGES))
    texts = _texts(options.refine_texts, options.language)
    for path in options.recordings:
        open_audio(path)  # raises what is wrong with it
    speaker, hearer = load_judges(names)  # before a model is sought
    shown = sys.stderr.isatty()
    bark = Bark.from_pretrained(
        options.model, device=options.device, dtype=options.dtype, progress=shown
    )
    cloner = Cloner.from_pretrained(
        options.model, options.language, quantizer=options.quantizer, codec=bark.codec,
        device=options.device, dtype=options.dtype, progress=shown,
    )  # fmt: skip
    clones = [
        (path, made)
        for path in options.recordings
        for made in clone_windows(
            cloner, path, start=options.start, end=options.end, consent=consent,
            clean=options.clean, denoiser=options.denoiser,
        )
    ]  # fmt: skip
    for number, (path, made) in enumerate(clones, 1):
        say(f"voice {number}: {path}: {made.report}")
        for finding in made.findings:
            say(f"{path}: {finding.code}: {finding.message}", sys.stderr)
    found = Refiner(bark, speaker, hearer, texts).refine(
        [made.voice for _, made in clones],
        [_heard(path, options.start, options.end) for path in options.recordings],
        options.refine,
        seed=options.seed,
        progress=shown,
    )
    if (folder / RECORD).is_file():  # an earlier one of ours
        shutil.rmtree(folder)
    found.save(folder)
    with suppress(MissingFileError):  # without matplotlib there is no picture
        from booth.plots import refinement_figure, save_figure

        save_figure(refinement_figure(found), folder / "refine.png")
    saved = found.voice.save(place, bark.layout)
    for line in found.lines():
        say(line)
    say(f"{saved}: from voice {found.base_number}")
    say(f"{folder}: {len(found.takes)} takes to listen to, {RECORD}")
    return 0


def _texts(path: str | None, language: str) -> Texts:
    """Return the texts of a file, or ours where the language is English."""
    if path is not None:
        text = read_bounded(expand(path), MAX_TEXTS, SettingError)
        return Texts.of(text.decode("utf-8", "replace").splitlines())
    if language != "en":
        raise SettingError(
            f"there are no texts to refine a voice by in the language {language}",
            fix="Give some with --refine_texts FILE, one a line",
        )
    return ENGLISH


def _heard(path: Path, start: float | None, end: float | None) -> Recording:
    """Return what takes are compared with: the recording, or the part that was named."""
    if start is None and end is None:
        return path
    return RATE, load_audio(path, RATE, start=start or 0.0, end=end)
