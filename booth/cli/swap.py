"""The command `bark convert-voice`: a recording said again in another voice."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bark import commandline
from bark.commandline import FILE, OneLineParser, say
from bark.errors import StorageError
from bark.storage.files import expand


def build_parser(prog: str = "bark convert-voice") -> OneLineParser:
    """Return the parser of ``bark convert-voice``."""
    parser = OneLineParser(
        prog=prog,
        description="Say a recording again in another voice: same words, same rhythm.",
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="wav, flac, mp3 or ogg")
    parser.flag("--voice", FILE, "the new speaker: an .npz file or a name", required=True)
    parser.add_argument(
        "-o", "--output", type=FILE, metavar="FILE", required=True, help="the new audio"
    )
    parser.flag("--model", commandline.MODEL, "the Bark to speak with (default: the voice's)")
    parser.flag("--language", commandline.WORD, "of the recording (default: en)", "en")
    parser.flag("--seed", commandline.SEED, "same seed, same result")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m hubert.convert``; return the exit code."""
    return commandline.run("convert", lambda: _work(build_parser("python -m hubert.convert"), argv))


def run(argv: Sequence[str]) -> int:
    """Do what ``bark convert-voice`` with these arguments asks; return the exit code."""
    return _work(build_parser(), argv)


def _work(parser: OneLineParser, argv: Sequence[str] | None) -> int:
    options = parser.parse_args(argv)
    target = expand(options.output)
    if target.exists():
        raise StorageError("already there", target, fix="Choose another name with -o")
    from booth.voices.library import Library, model_here
    from hubert.convert import convert_voice

    voice = Library().read(options.voice)
    made = convert_voice(
        options.recording,
        voice or options.voice,
        model=options.model or (voice and model_here(voice)) or "large",
        language=options.language,
        seed=options.seed,
        progress=sys.stderr.isatty(),
    )
    say(str(made.save(target, record=False).audio))
    return 0
