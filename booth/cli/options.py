"""The flags of `bark`, each written once with its other names, and the request that they mean.

People coming from Suno, Bark Infinity and Coqui may type their own names for a flag."""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bark import commandline
from bark.audio.write import FORMATS
from bark.commandline import FILE, FOLDER, TRUTH, WORD, Kind, OneLineParser, choice, number, whole
from bark.settings import OPTIONS, instead
from bark.version import __version__
from booth.speak.request import COQUI_MODEL, SpeakRequest

from .kinds import CONSENT, FREE, MODE, PARTS, SPEAKERS, STEPS
from .texts import read_texts

logger = logging.getLogger(__name__)

VOICE = Kind("VOICE", WORD.read)
GROUPS = {
    "text": "what to say",
    "voice": "who says it",
    "model": "which Bark",
    "sampling": "how tokens are drawn; the model's own defaults where nothing is given",
    "long text": "texts of more than one part, 13 s each",
    "output": "what is written where; nothing is ever overwritten",
}


@dataclass(frozen=True)
class Flag:
    """A flag, and its other names, which stay out of the help."""

    group: str
    name: str
    kind: Kind
    meaning: str
    others: tuple[str, ...] = ()
    default: Any = None


def _flags(group: str, *rows: tuple[Any, ...]) -> tuple[Flag, ...]:
    return tuple(Flag(group, *row) for row in rows)


FLAGS = (
    *_flags(
        "text",
        ("text", FREE, "the text to speak; - reads standard input", ("text_prompt",)),
        ("prompt_file", FILE, "read the text from a UTF-8 file; - reads standard input"),
        (
            "prompt_file_separator",
            WORD,
            "cut the file at this word into texts with a clip each; \\n is a new line",
        ),
        ("prompt_text_prefix", FREE, "put this in front of every part"),
        ("prompt_text_suffix", FREE, "put this behind every part"),
    ),
    *_flags(
        "voice",
        (
            "history_prompt",
            VOICE,
            "a voice: an .npz file, one of your voices, or a preset (bark voices list)",
            ("voice", "voice_preset"),
        ),
        (
            "audio_file_as_history_prompt",
            FILE,
            "clone the voice of a recording in English and speak with it; for other languages and "
            "more choices: bark clone",
            ("speaker_wav",),
        ),
        ("voice_dir", FOLDER, "a folder of voices, each as NAME.npz or NAME/speaker.wav"),
        (
            "speaker",
            VOICE,
            "a voice of --voice_dir, cloned when first used; random for a new one",
            ("speaker_idx",),
        ),
        (
            "voices",
            SPEAKERS,
            "the voices of a dialogue with lines such as 'ANA: Hello.': ANA=ana.npz,BO=bo.npz",
        ),
        (
            "consent",
            CONSENT,
            "whose voice you clone: self, licensed:NOTE, recorded:FILE or synthetic",
        ),
        (
            "allow_paths",
            TRUTH,
            "let [voice:FILE.npz] inside a text open that file; without it a mark is a name",
            (),
            False,
        ),
        ("list_speakers", TRUTH, "list the voices and stop", (), False),
    ),
    *_flags(
        "model",
        (
            "model",
            commandline.MODEL,
            "large, small, nano, a folder or a hub id; if nothing is said, the voice's, else large",
            ("model_name",),
        ),
        ("use_smaller_models", TRUTH, "the same as --model small", ("USE_SMALL_MODELS",), False),
        ("text_use_small", TRUTH, "take only the semantic stage from small", (), False),
        ("coarse_use_small", TRUTH, "take only the coarse stage from small", (), False),
        ("fine_use_small", TRUTH, "take only the fine stage from small", (), False),
        ("device", commandline.DEVICE, "auto, cpu, cuda, cuda:1 or mps", (), "auto"),
        (
            "dtype",
            choice("auto", "float32", "float16", "bfloat16", "int8"),
            "the weights' type",
            (),
            "auto",
        ),
        (
            "offload",
            TRUTH,
            "keep one stage on the device at a time",
            ("OFFLOAD_CPU", "offload_cpu"),
            False,
        ),
    ),
    Flag(
        "model",
        "decoder",
        WORD,
        "turn codes into sound with vocos, or a file in its format, instead of the model's own",
    ),
    Flag(
        "sampling",
        "seed",
        commandline.SEED,
        "same seed, same tokens; each part gets its own from it",
        ("single_starting_seed",),
    ),
    *(Flag("sampling", o.name, o.kind, o.meaning, o.others) for o in OPTIONS),
    Flag("sampling", "confused_travolta_mode", TRUTH, "never stop early", (), False),
    *_flags(
        "long text",
        ("split_by_words", whole(0), "a part every N words", (), 0),
        ("split_by_lines", whole(0), "a part every N lines", (), 0),
        ("split_character_goal_length", whole(10), "aim at parts of N characters"),
        ("split_character_max_length", whole(10), "no part over N characters"),
        (
            "long_mode",
            MODE,
            "anchored: every part starts from the voice (or from part 1's); chained: from the part "
            "before; reanchor=N: chained, back to the voice every N parts",
        ),
        ("stable_mode", TRUTH, "the same as --long_mode anchored", (), False),
        (
            "stable_mode_interval",
            whole(0),
            "the same as --long_mode reanchor=N; 0 is chained, 1 anchored",
        ),
        (
            "add_silence_between_segments",
            number(0, 60),
            "seconds between parts (default 0.25; 0 after a split by count)",
        ),
        (
            "crossfade_between_segments",
            number(0, 60),
            "seconds that parts overlap, instead of a silence",
            (),
            0.0,
        ),
        (
            "drift",
            choice("measure", "repair"),
            "measure how each part sounds beside the first; repair: speak again, up to twice, what "
            "falls out (bark drift shows it; needs the extra judge and python -m hubert.likeness)",
        ),
        ("regenerate", PARTS, "with the command that made a take: draw only these parts anew"),
    ),
    *_flags(
        "output",
        (
            "output_filename",
            FILE,
            "name or path of the audio; - writes to standard output",
            ("output", "filename", "out_path"),
        ),
        ("output_dir", FOLDER, "folder for it", (), "."),
        ("output_format", choice(*FORMATS), "wav if neither this nor the name says"),
        ("iterations", whole(1), "this many takes of each text", ("output_iterations",), 1),
        (
            "best_of",
            whole(1),
            "speak each part N times and keep the take that is most like the voice and says its "
            "words most clearly; needs the extra judge and python -m hubert.likeness",
            ("candidates",),
            1,
        ),
        ("loudness", number(-60, 0), "bring each take to a loudness in LUFS, as -16"),
        ("postprocess", STEPS, "steps before a take is written, as other packages name them"),
        ("always_save_speaker", TRUTH, "False: keep no .npz voice beside the audio", (), True),
        ("output_full", TRUTH, "keep the .npz voice, as --always_save_speaker does", (), False),
        ("text_splits_only", TRUTH, "only show the parts of the text", (), False),
        ("show_reading", TRUTH, "only show the words as the model will say them", (), False),
        ("dry_run", TRUTH, "only show what would be made", (), False),
        ("silent", TRUTH, "no progress bars", (), False),
        ("progress_bar", TRUTH, "progress bars even when nobody watches", (), False),
    ),
)


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
    target = Path(options.output_dir).expanduser()
    name, kind = None, options.output_format or "wav"
    if options.output_filename not in (None, "-"):
        path = target / Path(options.output_filename).expanduser()
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
