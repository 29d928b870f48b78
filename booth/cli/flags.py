"""The flags of `bark`, each written once with the names that other systems give it."""

from dataclasses import dataclass
from typing import Any

from bark import commandline
from bark.audio.write import FORMATS
from bark.commandline import FILE, FOLDER, TRUTH, WORD, Kind, choice, number, whole
from bark.settings import OPTIONS

from .kinds import CONSENT, FREE, MODE, PARTS, SPEAKERS, STEPS

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
        ("allow_paths", TRUTH, "let [voice:FILE.npz] in a text open that file", (), False),
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
            "fast",
            TRUTH,
            "8-bit weights on a CPU where they pay, longer windows: quicker, not as exact",
            (),
            False,
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
        ("allow_cut", TRUTH, "no failure where the end of a part may be missing", (), False),
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
