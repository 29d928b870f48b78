"""The command `bark` (``python -m bark``) and its subcommands."""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bark.commandline import complain, log_to_stderr, run, say
from bark.errors import SettingError


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``bark``; returns 0, 1 after one line on standard error, 2 for a wrong command, 130 for
    Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    log_to_stderr()
    first = words[0] if words else "--"
    if first in COMMANDS:
        return run("bark", lambda: COMMANDS[first](words[1:]))
    if not first.startswith("-"):
        known = ", ".join(sorted(COMMANDS))
        return complain(
            "bark", f"got {first!r}; allowed: a flag, or one of {known}. See bark --help", 2
        )
    return run("bark", lambda: speak_command(words))


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage: imports make none, and looking takes a seventh of their time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def speak_command(words: Sequence[str]) -> int:
    """Run ``bark --text ...``."""
    from .options import parse_options, request_of, shows_progress

    options = parse_options(words)
    if options.list_speakers:
        return voices_command(["list"])
    request = request_of(options)
    if not request.kept and sys.stdout.isatty():
        raise SettingError(
            "standard output is the screen, which cannot play audio", fix="Add: > speech.wav"
        )
    with uncollected():
        from booth.speak.speak import show_plan, show_reading, speak, speak_unkept

        from .kinds import ask_at_terminal

    if options.text_splits_only or options.dry_run:
        lines = show_plan(request)
        return _print([line for line in lines if line[0] == " " or not options.text_splits_only])
    if options.show_reading:
        return _print(show_reading(request))
    shown = shows_progress(options)
    if not request.kept:
        spoken = speak_unkept(request, ask=ask_at_terminal, progress=shown)
        _to_stdout(spoken, request.format, request.postprocess)
        return _finished(spoken.unfinished, options.allow_cut)
    code = 0
    for take in speak(request, ask=ask_at_terminal, progress=shown):
        _print([str(take.audio)])
        code = code or _finished(take.unfinished, options.allow_cut)
    return code


def _finished(unfinished: Sequence[int], allow_cut: bool) -> int:
    """Return the exit code of a take, a failure if the end of a part may be missing."""
    if not unfinished or allow_cut:
        return 0
    numbers = ", ".join(map(str, unfinished))
    return complain(
        "bark",
        f"the end of part {numbers} may be missing. Split the text, try another seed, or say "
        "--allow_cut",
    )


def voices_command(words: Sequence[str]) -> int:
    """Run ``bark voices ...``."""
    from .voices import run as run_voices

    return _print(run_voices(words))


def replay_command(words: Sequence[str]) -> int:
    """Run ``bark replay take.json``."""
    from .replay import run as run_replay

    lines, code = run_replay(words)
    _print(lines)
    return code


def clone_command(words: Sequence[str]) -> int:
    """Run ``bark clone``, which is ``python -m hubert.clone``."""
    from .clone import main as clone

    return clone(words, "bark clone")


def convert_command(words: Sequence[str]) -> int:
    """Run ``bark convert``, which is ``python -m bark.convert``."""
    from .convert import main as convert

    return convert(words, "bark convert")


def check_command(words: Sequence[str]) -> int:
    """Run ``bark check recording``."""
    from .check import run as run_check

    return run_check(words)


def serve_command(words: Sequence[str]) -> int:
    """Run ``bark serve``."""
    from .serve import run as run_serve

    return run_serve(words)


def swap_command(words: Sequence[str]) -> int:
    """Run ``bark convert-voice recording``."""
    from .swap import run as run_swap

    return run_swap(words)


def drift_command(words: Sequence[str]) -> int:
    """Run ``bark drift take.json``."""
    from .drift import run as run_drift

    return _print(run_drift(words))


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "check": check_command,
    "clone": clone_command,
    "convert": convert_command,
    "convert-voice": swap_command,
    "drift": drift_command,
    "replay": replay_command,
    "serve": serve_command,
    "voices": voices_command,
}


def _print(lines: Sequence[str]) -> int:
    for line in lines:
        say(line)
    return 0


def _to_stdout(spoken: Any, kind: str, postprocess: Sequence[str]) -> None:
    """Write a take's audio, finished and tagged as `save` does it, to standard output."""
    from bark.audio.write import encode_audio
    from bark.speech import finished_audio, speech_tags

    tags = speech_tags(spoken.text, spoken.seed)
    audio = finished_audio(spoken, postprocess, "speech")
    sys.stdout.buffer.write(encode_audio(audio, spoken.sample_rate, kind, tags))
    sys.stdout.buffer.flush()
