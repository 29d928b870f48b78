"""The command `bark clone`: recordings → voice files, with what is wrong with each recording."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bark import commandline
from bark.commandline import FAILED, OneLineParser, complain, number, say, whole
from bark.errors import BarkError, MissingFileError, SettingError, StorageError
from bark.storage.files import expand
from hubert.consent import ALLOWED, require_consent
from hubert.quantizer.languages import LANGUAGES

from .kinds import CONSENT, ask_at_terminal

if TYPE_CHECKING:  # torch takes seconds to import: first the flags and the files
    from hubert.reference import Finding


def main(argv: Sequence[str] | None = None, prog: str = "python -m hubert.clone") -> int:
    """Run the command line; return the exit code. Each recording that fails is one
    line on stderr.
    """
    return commandline.run("clone", lambda: _work(build_parser(prog), argv))


def _work(parser: OneLineParser, argv: Sequence[str] | None) -> int:
    options = parser.parse_args(argv)
    if complaint := _contradiction(options):
        parser.error(complaint)
    if not any(expand(path).exists() for path in options.recordings):
        raise MissingFileError(f"no file {', '.join(map(str, options.recordings))}")
    shown = sys.stderr.isatty()
    if options.check:
        return _each(options.recordings, lambda path: _checked(path, options, shown))
    sources = options.recordings[:1] if options.refine else options.recordings
    places = _places(sources, options.output, options.force)
    consent = require_consent(options.consent, ask_at_terminal)
    if options.refine:
        from .refine import clone_refined

        return clone_refined(options, places[sources[0]], consent)
    from hubert.clone import Cloner, excerpt

    Cloner.check(options.model, options.language, options.quantizer, options.device)

    @cache
    def cloner() -> Cloner:
        return Cloner.from_pretrained(
            options.model, options.language, quantizer=options.quantizer, device=options.device,
            dtype=options.dtype, progress=shown,
        )  # fmt: skip

    def clone(path: Path) -> "tuple[str, tuple[Finding, ...]]":
        # before models are sought
        cut = excerpt(path, start=options.start, end=options.end, progress=shown)
        made = cloner().clone(cut, consent=consent, clean=options.clean, denoiser=options.denoiser)
        saved = made.voice.save(places[path], cloner().layout)
        done = ", ".join(made.cleaned) or "nothing, there was no need"
        cleaned = f", cleaned: {done}" if options.clean or options.denoiser else ""
        tokens = len(made.voice.semantic)
        return f"{saved}: {tokens} tokens from {made.report}{cleaned}", made.findings

    return _each(options.recordings, clone)


def _contradiction(options: argparse.Namespace) -> str | None:
    """Return what is wrong with flags that are right one by one, or None."""
    to_file = options.output and Path(options.output).suffix == ".npz"
    if len(options.recordings) > 1 and to_file and not options.refine:
        return (
            "several recordings make several voices: give a folder with -o, or --refine if they "
            "are of one person"
        )
    for flag in ("judge", "refine_texts", "seed"):
        if getattr(options, flag) is not None and not options.refine:
            return f"--{flag} needs --refine"
    return None


def _each(paths: Sequence[Path], job: Callable[[Path], "tuple[str, tuple[Finding, ...]]"]) -> int:
    """Do a job for each recording; say its result in one line, its findings and
    failures on stderr.
    """
    from bark.stages.progress import Watch

    code, watch = 0, Watch(bars=len(paths) > 1 and sys.stderr.isatty())
    with watch.bar("recordings", len(paths), "recording") as bar:
        for path in paths:
            try:
                line, findings = job(path)
            except BarkError as error:
                code = complain("clone", str(error), error.exit_code if len(paths) == 1 else FAILED)
            else:
                say(f"{line}, checks: {' '.join(found.code for found in findings) or 'ok'}")
                for found in findings:
                    say(f"{path}: {found.code}: {found.message}", sys.stderr)
            bar.update()
    return code


def _checked(
    path: Path, options: argparse.Namespace, shown: bool
) -> "tuple[str, tuple[Finding, ...]]":
    from hubert.reference import examine

    report = examine(path, start=options.start, end=options.end, progress=shown)
    return f"{path}: {report}", report.findings


def _places(recordings: Sequence[Path], output: str | None, force: bool) -> dict[Path, Path]:
    """Choose the file of each voice; nothing that exists is overwritten unless `force`."""
    into = Path(output or ".")
    if output and into.suffix == ".npz":
        places = {recordings[0]: into}
    elif output and len(recordings) == 1 and not into.is_dir() and not output.endswith(("/", "\\")):
        places = {recordings[0]: into.with_name(into.name + ".npz")}
    else:
        places = {path: into / f"{path.stem}.npz" for path in recordings}
    twice = [place for place, count in Counter(places.values()).items() if count > 1]
    if twice:
        raise SettingError("two recordings would make the same voice", twice[0], fix="Rename one")
    there = [str(place) for place in places.values() if place.exists()]
    if there and not force:
        raise StorageError(
            "already there", ", ".join(there), fix="Choose another name with -o, or add --force"
        )
    return places


def build_parser(prog: str = "python -m hubert.clone") -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog=prog,
        description="Clone a voice from a recording, as a history prompt (.npz) for Bark.",
        epilog="Clone only voices whose owners agreed. Bark hears at most the last 6.8 s of the "
        "window. " + commandline.EXIT_CODES,
    )
    parser.add_argument(
        "recordings", nargs="+", type=Path, metavar="RECORDING", help="wav, flac, mp3 or ogg"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=commandline.FILE,
        metavar="FILE",
        help="the voice (default: ./NAME.npz); a folder for several",
    )
    parser.flag(
        "--model",
        commandline.MODEL,
        "the Bark that is to speak: large (default), small, nano, a folder, a hub id",
        "large",
    )
    parser.flag(
        "--language",
        commandline.WORD,
        f"of the recording: {', '.join(LANGUAGES)} (default: en)",
        "en",
    )
    parser.flag(
        "--quantizer",
        commandline.FILE,
        "a quantizer file, or nano's kmeans or lstm, not the usual one",
    )
    parser.flag("--start", number(), "where the window starts, in seconds (default: chosen)")
    parser.flag("--end", number(), "where the window ends, in seconds (default: at a pause)")
    parser.flag("--consent", CONSENT, f"whose voice it is, kept in the file: {ALLOWED}")
    parser.add_argument(
        "--clean", action="store_true",
        help="take out rumble and hum first, and raise a low level",
    )  # fmt: skip
    parser.flag(
        "--denoiser", commandline.WORD,
        "clean, and send noisy recordings through NAME=ARGUMENT, a step that another package "
        "brings (as for bark --postprocess)",
    )  # fmt: skip
    parser.flag("--device", commandline.DEVICE, "auto (default), cpu, cuda or mps", "auto")
    _add_refining(parser)
    parser.flag(
        "--dtype",
        commandline.choice("auto", "float32", "bfloat16", "float16", "int8"),
        "of HuBERT; auto is float32, int8 is quicker on a CPU",
        "auto",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing voice")
    parser.add_argument(
        "--check", action="store_true", help="only measure; needs no model and writes nothing"
    )
    return parser


def _add_refining(parser: OneLineParser) -> None:
    parser.flag(
        "--refine",
        whole(2),
        "speak up to N takes in the voice and make the best one the prompt if it is proven more "
        "like the recording; several recordings are then of one person and make one voice",
    )
    parser.flag(
        "--judge",
        commandline.WORD,
        "who judges takes: resemblyzer or wavlm, and pocketsphinx or whisper (default: "
        "resemblyzer,pocketsphinx, the extra judge)",
    )
    parser.flag(
        "--refine_texts",
        commandline.FILE,
        "at least 8 texts to refine by, one a line, for languages other than English",
    )
    parser.flag("--seed", commandline.SEED, "with --refine: same seed, same voice")
