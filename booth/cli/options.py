"""The command line of `bark`: its parser, and the request that its words mean.

People coming from Suno, Bark Infinity and Coqui may type their own names for a flag."""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bark import commandline
from bark.audio.write import FORMATS
from bark.commandline import OneLineParser
from bark.settings import OPTIONS, instead
from bark.storage.files import expand
from bark.version import __version__
from booth.speak.request import COQUI_MODEL, SpeakRequest

from .flags import FLAGS, GROUPS
from .texts import read_texts

logger = logging.getLogger(__name__)


def build_parser() -> OneLineParser:
    """Return the parser of the main command."""
    parser = _Parser(
        prog="bark",
        description="Speak a text with Bark, in a voice of your own. Commands beside this one: "
        "bark check, bark clone, bark convert-voice, bark voices, bark replay, bark drift, "
        "bark convert; each explains itself with --help. "
        "A flag without a value may also be given as --flag True or --flag False.",
        epilog=commandline.EXIT_CODES,
        formatter_class=lambda prog: _Help(prog, max_help_position=34, width=100),
        usage="bark --text TEXT [--history_prompt VOICE] [-o FILE] [flags]",
    )
    parser.add_argument("--version", action="version", version=f"bark-voice-booth {__version__}")
    groups = {name: parser.add_argument_group(name, meaning) for name, meaning in GROUPS.items()}
    for flag in FLAGS:
        extra: dict[str, Any] = {"dest": flag.name, "type": flag.kind}
        if flag.kind.name is None:
            extra |= {"nargs": "?", "const": True}
        else:
            extra["metavar"] = flag.kind.name
        told = flag.default not in (None, False, 0)
        meaning = flag.meaning + (f" (default {flag.default})" if told else "")
        short = ("-o",) if flag.name == "output_filename" else ()
        group = groups[flag.group]
        group.add_argument(f"--{flag.name}", *short, default=flag.default, help=meaning, **extra)
        for other in flag.others:
            group.add_argument(
                f"--{other}", default=argparse.SUPPRESS, help=argparse.SUPPRESS, **extra
            )
    return parser


class _Parser(OneLineParser):
    """Says of a flag that other systems have what does the same here."""

    def error(self, message: str) -> NoReturn:
        """Print `message` on standard error and leave."""
        flags = re.findall(r"--([\w-]+)", message) if message.startswith("unrecognized") else []
        fix = instead(flag.replace("-", "_") for flag in flags)
        super().error(message if fix is None else f"{message}. {fix}")


class _Help(argparse.HelpFormatter):
    """Shows a flag that may stand alone as standing alone."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        shown = super()._format_action_invocation(action)
        return shown.split()[0] if action.const is True else shown


def parse_options(argv: Sequence[str]) -> argparse.Namespace:
    """Return what `argv` says; a wrong command line prints one line and leaves with code 2."""
    parser = build_parser()
    options = parser.parse_args(_paired(argv, parser))
    if complaint := _contradiction(options):
        parser.error(complaint)
    return options


def request_of(options: argparse.Namespace) -> SpeakRequest:
    """Return the request that the words of a command line mean; reads the texts they name."""
    settings = {o.name: getattr(options, o.name) for o in OPTIONS}
    if options.allow_early_stop or options.allow_early_stop is None:
        settings["allow_early_stop"] = False if options.confused_travolta_mode else None
    stages = ("semantic", "coarse", "fine")
    small = (options.text_use_small, options.coarse_use_small, options.fine_use_small)
    silence = options.add_silence_between_segments
    if silence is None and (options.split_by_words or options.split_by_lines):
        silence = 0.0
    target = expand(options.output_dir)
    name, kind = None, options.output_format or "wav"
    if options.output_filename not in (None, "-"):
        path = target / expand(options.output_filename)
        given = path.suffix.lower()[1:]
        target, name = path.parent, path.stem if given in FORMATS else path.name
        kind = given if given in FORMATS else kind
    recording, folder = options.audio_file_as_history_prompt, options.voice_dir
    return SpeakRequest(
        read_texts(options.text, options.prompt_file, options.prompt_file_separator),
        options.prompt_text_prefix or "",
        options.prompt_text_suffix or "",
        voice=options.history_prompt,
        recording=None if recording is None else Path(recording),
        voice_dir=None if folder is None else Path(folder),
        speaker=options.speaker,
        voices=dict(options.voices or ()),
        allow_paths=bool(options.allow_paths),
        consent=options.consent,
        model=_model(options),
        small_stages=tuple(stage for stage, asked in zip(stages, small, strict=True) if asked),
        device=options.device,
        dtype=options.dtype,
        offload=bool(options.offload),
        fast=bool(options.fast),
        decoder=options.decoder,
        seed=options.seed,
        settings={name: value for name, value in settings.items() if value is not None},
        words_a_part=options.split_by_words,
        lines_a_part=options.split_by_lines,
        goal_characters=options.split_character_goal_length,
        max_characters=options.split_character_max_length,
        mode=_mode(options),
        silence=silence,
        crossfade=options.crossfade_between_segments,
        regenerate=options.regenerate,
        folder=target,
        name=name,
        format=kind,
        iterations=options.iterations,
        best_of=options.best_of,
        postprocess=_steps(options),
        drift=options.drift,
        with_voice=options.always_save_speaker or options.output_full,
        kept=options.output_filename != "-",
    )


def shows_progress(options: argparse.Namespace) -> bool:
    """Tell whether progress bars are wanted."""
    return bool(options.progress_bar or (not options.silent and sys.stderr.isatty()))


def _mode(options: argparse.Namespace) -> str:
    """Return how parts follow each other.

    Bark Infinity's splits by count go on from the last part unless ``--stable_mode`` is given; all
    else is anchored.
    """
    interval = options.stable_mode_interval
    if options.long_mode:
        return str(options.long_mode)
    if interval is not None:
        return {0: "chained", 1: "anchored"}.get(interval, f"reanchor={interval}")
    counted = options.split_by_words or options.split_by_lines
    return "chained" if counted and not options.stable_mode else "anchored"


def _steps(options: argparse.Namespace) -> tuple[str, ...]:
    loudness = () if options.loudness is None else (f"loudness={options.loudness:g}",)
    return (*(options.postprocess or ()), *loudness)


def _model(options: argparse.Namespace) -> str | None:
    if options.use_smaller_models:
        return "small"
    return "large" if options.model == COQUI_MODEL else options.model


def _paired(argv: Sequence[str], parser: OneLineParser) -> list[str]:
    """Tie each flag to its value, which may then begin with a dash, as separators do."""
    words: list[str] = []
    actions = parser._option_string_actions
    for word in map(parser.spelled, argv):
        name = word.partition("=")[0]
        before = actions.get(words[-1]) if words else None
        if before is not None and before.nargs is None and name not in actions:
            words[-1] += ("=" if words[-1].startswith("--") else "") + word
        else:
            words.append(word)
    return words


def _contradiction(options: argparse.Namespace) -> str | None:
    """Return what is wrong with flags that are right one by one, or None."""
    silence, crossfade = options.add_silence_between_segments, options.crossfade_between_segments
    recording, to_stdout = options.audio_file_as_history_prompt, options.output_filename == "-"
    together = [
        ("--text", options.text is not None, "--prompt_file", options.prompt_file is not None),
        ("--split_by_words", options.split_by_words, "--split_by_lines", options.split_by_lines),
        ("--history_prompt", options.history_prompt, "--speaker_wav", recording),
        ("--history_prompt", options.history_prompt, "--speaker", options.speaker),
        ("--long_mode", options.long_mode, "--stable_mode", options.stable_mode),
        (
            "--long_mode",
            options.long_mode,
            "--stable_mode_interval",
            options.stable_mode_interval is not None,
        ),
        ("--model", options.model, "--use_smaller_models", options.use_smaller_models),
        ("--add_silence_between_segments", silence, "--crossfade_between_segments", crossfade),
        ("--output_filename -", to_stdout, "--iterations", options.iterations > 1),
    ]
    for first, has_first, second, has_second in together:
        if has_first and has_second:
            return f"{first} and {second} contradict each other: give one of them"
    if options.prompt_file_separator and options.prompt_file is None:
        return "--prompt_file_separator needs --prompt_file"
    goal, most = options.split_character_goal_length, options.split_character_max_length
    if goal is not None and most is not None and goal > most:
        allowed = f"up to --split_character_max_length {most}"
        return f"--split_character_goal_length: got {goal}; allowed: {allowed}"
    suffix = Path(options.output_filename or "").suffix.lower()[1:]
    if suffix and suffix not in FORMATS:
        return f"--output_filename: got .{suffix}; allowed: .{', .'.join(FORMATS)}, or no suffix"
    if options.output_format and suffix and suffix != options.output_format:
        return (
            f"--output_filename ends in .{suffix} but --output_format says {options.output_format}"
        )
    return None
