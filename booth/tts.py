"""Coqui's command `tts`, answered by Bark: ``python -m booth.tts``, or ``bark-tts``.

It is not installed as `tts`: of two packages with a command of one name the second would silently
replace the first's, and Coqui's may well be installed beside this one."""

import sys
from collections.abc import Sequence

from bark.commandline import TRUTH, WORD, OneLineParser, run, say

from .speak.request import COQUI_MODEL

OUTPUT = "tts_output.wav"  # Coqui's default


def _parser() -> OneLineParser:
    """Return the parser of the flags that only `tts` has; all others are those of `bark`."""
    parser = OneLineParser(
        prog="bark-tts",
        description="Coqui's command with Bark behind it: --text --model_name --out_path "
        "--voice_dir --speaker_idx --speaker_wav --progress_bar, and every flag of bark.",
    )
    parser.flag("--model_name", WORD, f"as for bark; {COQUI_MODEL} is large", COQUI_MODEL)
    for name, meaning in {
        "use_cuda": "run on a GPU",
        "list_models": "say which model there is, and stop",
        "list_speaker_idxs": "list the voices, and stop",
        "pipe_out": "write the audio to standard output",
    }.items():
        parser.add_argument(f"--{name}", type=TRUTH, nargs="?", const=True, help=meaning)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tts``."""
    return run("tts", lambda: _work(argv))


def _work(argv: Sequence[str] | None) -> int:
    options, words = _parser().parse_known_args(argv)
    if options.list_models:
        say(COQUI_MODEL)
        return 0
    from .cli.main import speak_command

    if options.list_speaker_idxs:
        return speak_command(["--list_speakers"])
    if options.pipe_out:
        words += ["--out_path", "-"]
    elif not any(word.split("=")[0] in ("--out_path", "-o", "--output") for word in words):
        words += ["--out_path", OUTPUT]
    if options.use_cuda:
        words += ["--device", "cuda"]
    return speak_command(["--model_name", options.model_name, *words])


if __name__ == "__main__":
    sys.exit(main())
