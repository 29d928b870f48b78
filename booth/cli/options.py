"""Turns a command line into one frozen `SpeakOptions`, or into one line that says what is wrong
with it.

A flag is written once, as a field: its group in the help, its kind of value, its help, and the
other names that people coming from Suno, Bark Infinity and Coqui type for it. Words may be joined
by ``_`` or ``-``."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from bark import commandline
from bark.commandline import FILE, FOLDER, WORD, Kind, OneLineParser, choice, number, whole
from bark.version import __version__

from bark.commandline import TRUTH
from bark.audio.write import FORMATS
from .kinds import CONSENT, FORMATS, FREE, MODE, PARTS, SPEAKERS, TRUTH

COQUI_MODEL = "tts_models/multilingual/multi-dataset/bark"  # Coqui's name for Suno's large model
VOICE = Kind("VOICE", WORD.read)
GROUPS = {
    "text": "what to say",
    "voice": "who says it",
    "model": "which Bark",
    "sampling": "how tokens are drawn; the model's own defaults where nothing is given",
    "long text": "texts of more than one part, 13 s each",
    "output": "what is written where; nothing is ever overwritten",
}


def flag(group: str, kind: Kind, meaning: str, *others: str, default: Any = None) -> Any:
    """Return a field that is also a flag; `others` are its other names, which stay
    out of the help.
    """
    return field(
        default=default,
        metadata={"group": group, "kind": kind, "meaning": meaning, "others": others},
    )


@dataclass(frozen=True)
class SpeakOptions:
    """Everything that can be asked of ``bark``; None leaves the choice to the model or to the
    booth.
    """

    text: str | None = flag(
        "text", FREE, "the text to speak; - reads standard input", "text_prompt"
    )
    prompt_file: str | None = flag(
        "text", FILE, "read the text from a UTF-8 file; - reads standard input"
    )
    prompt_file_separator: str | None = flag(
        "text", WORD, "cut the file at this word into texts with a clip each; \\n is a new line"
    )
    prompt_text_prefix: str | None = flag("text", FREE, "put this in front of every part")
    prompt_text_suffix: str | None = flag("text", FREE, "put this behind every part")

    history_prompt: str | None = flag(
        "voice",
        VOICE,
        "a voice: an .npz file, one of your voices, or a preset (bark voices list)",
        "voice",
    )
    audio_file_as_history_prompt: str | None = flag(
        "voice",
        FILE,
        "clone the voice of a recording in English and speak with it; for other languages "
        "and more choices: bark clone",
        "speaker_wav",
    )
    voice_dir: str | None = flag(
        "voice", FOLDER, "a folder of voices, each as NAME.npz or NAME/speaker.wav"
    )
    speaker: str | None = flag(
        "voice",
        VOICE,
        "a voice of --voice_dir, cloned when first used; random for a new one",
        "speaker_idx",
    )
    voices: tuple[tuple[str, str], ...] | None = flag(
        "voice",
        SPEAKERS,
        "the voices of a dialogue with lines such as 'ANA: Hello.': ANA=ana.npz,BO=bo.npz",
    )
    consent: str | None = flag(
        "voice", CONSENT, "whose voice you clone: self, licensed:NOTE, recorded:FILE or synthetic"
    )
    list_speakers: bool = flag("voice", TRUTH, "list the voices and stop", default=False)

    model: str | None = flag(
        "model",
        commandline.MODEL,
        "large, small, nano, a folder or a hub id; large if nothing is said",
        "model_name",
    )
    use_smaller_models: bool = flag(
        "model", TRUTH, "the same as --model small", "USE_SMALL_MODELS", default=False
    )
    text_use_small: bool = flag(
        "model", TRUTH, "take only the semantic stage from small", default=False
    )
    coarse_use_small: bool = flag(
        "model", TRUTH, "take only the coarse stage from small", default=False
    )
    fine_use_small: bool = flag(
        "model", TRUTH, "take only the fine stage from small", default=False
    )
    device: str = flag(
        "model", commandline.DEVICE, "auto, cpu, cuda, cuda:1 or mps", default="auto"
    )
    dtype: str = flag(
        "model",
        choice("auto", "float32", "float16", "bfloat16"),
        "the weights' type",
        default="auto",
    )
    offload: bool = flag(
        "model",
        TRUTH,
        "keep one stage on the device at a time",
        "OFFLOAD_CPU",
        "offload_cpu",
        default=False,
    )

    seed: int | None = flag(
        "sampling",
        commandline.SEED,
        "same seed, same tokens; each part gets its own from it",
        "single_starting_seed",
    )
    text_temp: float | None = flag(
        "sampling", number(), "temperature of the semantic stage", "semantic_temp"
    )
    semantic_top_k: int | None = flag(
        "sampling", whole(1), "draw among the k likeliest semantic tokens"
    )
    semantic_top_p: float | None = flag(
        "sampling", number(0, 1), "draw among the likeliest up to this sum"
    )
    semantic_min_eos_p: float | None = flag(
        "sampling", number(0, 1), "stop when the end is this likely; 0.05 rambles less", "min_eos_p"
    )
    semantic_max_gen_duration_s: float | None = flag(
        "sampling",
        number(0, above=True),
        "longest speech of a part in seconds",
        "max_gen_duration_s",
    )
    semantic_allow_early_stop: bool = flag(
        "sampling",
        TRUTH,
        "False: go on until the longest duration",
        "allow_early_stop",
        default=True,
    )
    confused_travolta_mode: bool = flag("sampling", TRUTH, "never stop early", default=False)
    waveform_temp: float | None = flag(
        "sampling", number(), "temperature of the coarse stage", "coarse_temp"
    )
    coarse_top_k: int | None = flag(
        "sampling", whole(1), "draw among the k likeliest coarse tokens"
    )
    coarse_top_p: float | None = flag(
        "sampling", number(0, 1), "draw among the likeliest up to this sum"
    )
    fine_temp: float | None = flag("sampling", number(), "temperature of the fine stage")
    coarse_anchor: int | None = flag(
        "sampling",
        whole(0),
        "coarse tokens of the voice kept in sight against drift: 450 is 3 s, 0 as Suno",
    )

    split_by_words: int = flag("long text", whole(0), "a part every N words", default=0)
    split_by_lines: int = flag("long text", whole(0), "a part every N lines", default=0)
    split_character_goal_length: int | None = flag(
        "long text", whole(10), "aim at parts of N characters"
    )
    split_character_max_length: int | None = flag(
        "long text", whole(10), "no part over N characters"
    )
    long_mode: str | None = flag(
        "long text",
        MODE,
        "anchored: every part starts from the voice (or from part 1's); chained: "
        "from the part before; reanchor=N: chained, back to the voice every N parts",
    )
    stable_mode: bool = flag("long text", TRUTH, "the same as --long_mode anchored", default=False)
    stable_mode_interval: int | None = flag(
        "long text", whole(0), "the same as --long_mode reanchor=N; 0 is chained, 1 anchored"
    )
    add_silence_between_segments: float | None = flag(
        "long text", number(0, 60), "seconds between parts (default 0.25; 0 after a split by count)"
    )
    crossfade_between_segments: float = flag(
        "long text", number(0, 60), "seconds that parts overlap, instead of a silence", default=0.0
    )
    regenerate: tuple[int, ...] | None = flag(
        "long text", PARTS, "with the command that made a take: draw only these parts anew"
    )

    output_filename: str | None = flag(
        "output",
        FILE,
        "name or path of the audio; - writes to standard output",
        "filename",
        "out_path",
    )
    output_dir: str = flag("output", FOLDER, "folder for it", default=".")
    output_format: str | None = flag(
        "output", choice(*FORMATS), "wav if neither this nor the name says"
    )
    iterations: int = flag(
        "output", whole(1), "this many takes of each text", "output_iterations", default=1
    )
    best_of: int = flag(
        "output",
        whole(1),
        "speak each part N times and keep the take that is most like the voice and says its words "
        "most "
        "clearly; needs resemblyzer and pocketsphinx",
        "candidates",
        default=1,
    )
    always_save_speaker: bool = flag(
        "output", TRUTH, "False: keep no .npz voice beside the audio", default=True
    )
    output_full: bool = flag(
        "output", TRUTH, "keep the .npz voice, as --always_save_speaker does", default=False
    )
    text_splits_only: bool = flag("output", TRUTH, "only show the parts of the text", default=False)
    dry_run: bool = flag("output", TRUTH, "only show what would be made", default=False)
    silent: bool = flag("output", TRUTH, "no progress bars", default=False)
    progress_bar: bool = flag(
        "output", TRUTH, "progress bars even when nobody watches", default=False
    )

    def settings(self) -> dict[str, Any]:
        """Return the arguments of ``Bark.generate`` that were given."""
        given = {
            "semantic_temperature": self.text_temp,
            "semantic_top_k": self.semantic_top_k,
            "semantic_top_p": self.semantic_top_p,
            "min_eos_p": self.semantic_min_eos_p,
            "max_duration_s": self.semantic_max_gen_duration_s,
            "coarse_temperature": self.waveform_temp,
            "coarse_top_k": self.coarse_top_k,
            "coarse_top_p": self.coarse_top_p,
            "fine_temperature": self.fine_temp,
            "coarse_anchor": self.coarse_anchor,
        }
        if self.confused_travolta_mode or not self.semantic_allow_early_stop:
            given["allow_early_stop"] = False
        return {name: value for name, value in given.items() if value is not None}

    def mode(self) -> str:
        """Return how parts follow each other: ``"anchored"``, ``"chained"`` or ``"reanchor=N"``.

        Bark Infinity's splits by count go on from the last part unless ``--stable_mode`` is given;
        all else is anchored."""
        if self.long_mode:
            return self.long_mode
        if self.stable_mode_interval is not None:
            return {0: "chained", 1: "anchored"}.get(
                self.stable_mode_interval, f"reanchor={self.stable_mode_interval}"
            )
        counted = self.split_by_words or self.split_by_lines
        return "chained" if counted and not self.stable_mode else "anchored"

    def model_name(self) -> str | None:
        """Return the model that was asked for, or None."""
        if self.use_smaller_models:
            return "small"
        return "large" if self.model == COQUI_MODEL else self.model


def build_parser() -> OneLineParser:
    """Return the parser of the main command."""
    parser = OneLineParser(
        prog="bark",
        description="Speak a text with Bark, in a voice of your own. Commands beside this one: "
        "bark clone, "
        "bark voices, bark replay, bark convert; each explains itself with --help. A flag without "
        "a value "
        "may also be given as --flag True or --flag False.",
        epilog=commandline.EXIT_CODES,
        formatter_class=lambda prog: _Help(prog, max_help_position=34, width=100),
        usage="bark --text TEXT [--history_prompt VOICE] [flags]",
    )
    parser.add_argument("--version", action="version", version=f"bark-voice-booth {__version__}")
    groups = {name: parser.add_argument_group(name, meaning) for name, meaning in GROUPS.items()}
    for item in fields(SpeakOptions):
        meta = item.metadata
        kind: Kind = meta["kind"]
        extra: dict[str, Any] = {"dest": item.name, "type": kind}
        if kind.name is None:
            extra |= {"nargs": "?", "const": True}
        else:
            extra["metavar"] = kind.name
        meaning = meta["meaning"] + (
            f" (default {item.default})" if _worth_telling(item.default) else ""
        )
        group = groups[meta["group"]]
        group.add_argument(f"--{item.name}", default=item.default, help=meaning, **extra)
        for other in meta["others"]:
            group.add_argument(
                f"--{other}", default=argparse.SUPPRESS, help=argparse.SUPPRESS, **extra
            )
    return parser


class _Help(argparse.HelpFormatter):
    """Shows a flag that may stand alone as standing alone."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        shown = super()._format_action_invocation(action)
        return shown.split()[0] if action.const is True else shown


def parse_options(argv: Sequence[str]) -> SpeakOptions:
    """Return what `argv` asks for; a wrong command line prints one line and leaves with code 2."""
    parser = build_parser()
    options = SpeakOptions(**vars(parser.parse_args(_paired(argv))))
    if complaint := _contradiction(options):
        parser.error(complaint)
    return options


def _paired(argv: Sequence[str]) -> list[str]:
    """Write each flag as the parser knows it, its value tied to it, as in ``--prompt_file=-``.

    Tied, a value may begin with a dash, as separators and mistyped negative numbers do.
    """
    kinds = {
        f"--{name}": item.metadata["kind"]
        for item in fields(SpeakOptions)
        for name in (item.name, *item.metadata["others"])
    }
    words: list[str] = []
    for word in argv:
        name, equals, value = word.partition("=")
        joined = "--" + name[2:].replace("-", "_") if word.startswith("--") else name
        known = name if name in kinds else joined
        if (
            words
            and words[-1] in kinds
            and kinds[words[-1]].name
            and known not in kinds
            and word not in ("-h", "--help")
        ):
            words[-1] += "=" + word
        else:
            words.append(known + equals + value if known in kinds else word)
    return words


def _worth_telling(default: Any) -> bool:
    return default is not None and default is not False and default != 0


def _contradiction(options: SpeakOptions) -> str | None:
    """Return what is wrong with flags that are right one by one, or None."""
    together = [
        ("--text", options.text is not None, "--prompt_file", options.prompt_file is not None),
        ("--split_by_words", options.split_by_words, "--split_by_lines", options.split_by_lines),
        (
            "--history_prompt",
            options.history_prompt,
            "--speaker_wav",
            options.audio_file_as_history_prompt,
        ),
        ("--history_prompt", options.history_prompt, "--speaker", options.speaker),
        ("--long_mode", options.long_mode, "--stable_mode", options.stable_mode),
        (
            "--long_mode",
            options.long_mode,
            "--stable_mode_interval",
            options.stable_mode_interval is not None,
        ),
        ("--model", options.model, "--use_smaller_models", options.use_smaller_models),
        ("--add_silence_between_segments", options.add_silence_between_segments)
        + ("--crossfade_between_segments", options.crossfade_between_segments),
        (
            "--output_filename -",
            options.output_filename == "-",
            "--iterations",
            options.iterations > 1,
        ),
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
    suffix = PurePath(options.output_filename or "").suffix.lower()[1:]
    if suffix and suffix not in FORMATS:
        return f"--output_filename: got .{suffix}; allowed: .{', .'.join(FORMATS)}, or no suffix"
    if options.output_format and suffix and suffix != options.output_format:
        return (
            f"--output_filename ends in .{suffix} but --output_format says {options.output_format}"
        )
    return None
