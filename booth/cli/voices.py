"""The command `bark voices`: the library of voices."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bark.commandline import (
    EXIT_CODES,
    FILE,
    FOLDER,
    MODEL,
    SEED,
    WORD,
    OneLineParser,
    choice,
    number,
)
from bark.languages import SUPPORTED_LANGS
from bark.storage.files import expand

if TYPE_CHECKING:  # torch takes seconds to import: first the flags
    from booth.voices.library import Library

PREVIEW = "Hello. This is how I sound."
PLACES = {
    "voice": "a name or an .npz file",
    "old": "one of your voices",
    "new": "the name it gets",
    "target": "FILE.npz or a folder",
    "first": "a voice, by name or .npz file",
    "second": "the other voice",
    "file": "an .npz file",
}


def build_parser() -> OneLineParser:
    """Return the parser of ``bark voices``."""
    parser = OneLineParser(
        prog="bark voices", description="Keep the voices that --history_prompt can name."
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=OneLineParser
    )

    def command(name: str, meaning: str, *places: str) -> OneLineParser:
        said = f"{meaning[0].upper()}{meaning[1:]}."
        added: OneLineParser = commands.add_parser(
            name, help=meaning, description=said, epilog=EXIT_CODES
        )
        for place in places:
            added.add_argument(place, type=WORD, help=PLACES[place])
        added.flag("--folder", FOLDER, "the folder of your voices, instead of $BARK_VOICES")
        return added

    command("list", "show your voices, nano's and Suno's presets").add_argument(
        "--all", action="store_true", help="every one of Suno's presets by its own name"
    )
    command("info", "show what is inside a voice: length, source, date, consent", "voice")
    preview = command("preview", "speak a sentence with a voice", "voice")
    preview.flag("--text", WORD, f"what it says (default: {PREVIEW})", PREVIEW)
    preview.flag("--model", MODEL, "which Bark speaks (default: the one the voice was made for)")
    preview.add_argument(
        "-o", "--output", type=FILE, metavar="FILE", help="name or path of the audio"
    )
    preview.flag("--output_dir", FOLDER, "folder for the audio (default: .)", ".")
    preview.flag("--seed", SEED, "same seed, same tokens")
    command("rename", "give one of your voices another name", "old", "new")
    command("delete", "delete one of your voices", "voice")
    command("export", "copy a voice to FILE.npz, or into a Hugging Face folder", "voice", "target")
    mix = command(
        "mix",
        "make a voice between two: stretches of one and the other, since tokens cannot be averaged",
        "first", "second",
    )  # fmt: skip
    mix.flag(
        "--by", choice("concat", "alternate"),
        "concat (default): the first, then the second; alternate: in turns of 0.8 s", "concat",
    )  # fmt: skip
    mix.flag("--share", number(0, 1), "of the second voice in what Bark hears (default 0.5)", 0.5)
    mix.add_argument(
        "-o", "--output", type=FILE, metavar="FILE", required=True, help="the new voice, .npz"
    )
    added = command("import", "copy a voice file into your folder", "file")
    added.flag("--name", WORD, "what to call it (default: the file's name)")
    return parser


def run(argv: Sequence[str]) -> list[str]:
    """Do what ``bark voices`` with these arguments asks; return the lines to print."""
    options = build_parser().parse_args(argv)
    from booth.voices.library import Library

    library = Library(None if options.folder is None else Path(options.folder))
    return _ACTIONS[options.command](library, options)


def listing(library: "Library", every_preset: bool = False) -> list[str]:
    """Return one line for each voice, Suno's many presets folded into one for each language."""
    entries = library.entries()
    own = [f"  {entry.name}" for entry in entries if entry.origin == "own"]
    nano = [f"  {entry.name}" for entry in entries if entry.origin == "nano"]
    lines = [
        f"your voices, in {library.home}:",
        *(own or ["  none yet; make one with: bark clone"]),
    ]
    lines += ["nano's presets:", *nano] if nano else []
    lines.append("Suno's presets, for large and small:")
    if every_preset:
        return lines + [f"  {entry.name}" for entry in entries if entry.origin == "suno"]
    lines += ["  announcer"]
    return lines + [
        f"  v2/{code}_speaker_0 to 9, {code}_speaker_0 to 9" for _, code in SUPPORTED_LANGS
    ]


def _info(library: "Library", options: Any) -> list[str]:
    facts = library.describe(options.voice)
    width = max(map(len, facts))
    return [f"{key.ljust(width)}  {_plain(value)}" for key, value in facts.items()]


def _plain(value: str) -> str:
    """Return text from a file without control characters, which could steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in value)


def _preview(library: "Library", options: Any) -> list[str]:
    from bark.voice.names import list_voices
    from booth.speak.request import SpeakRequest
    from booth.speak.speak import speak

    own = options.voice in list_voices([library.home])
    target = expand(options.output_dir) / (options.output or "")
    request = SpeakRequest(
        (options.text,),
        voice=str(library.find(options.voice)) if own else options.voice,
        model=options.model or library.model_of(options.voice),
        folder=target.parent if options.output else target,
        name=target.stem if options.output else None,
        format=target.suffix.lower()[1:] or "wav",
        seed=options.seed,
        with_voice=False,
    )
    return [str(take.audio) for take in speak(request, progress=sys.stderr.isatty())]


def _mix(library: "Library", options: Any) -> list[str]:
    path, mixed = library.mix(
        options.first, options.second, options.output, by=options.by, share=options.share
    )
    told = ", ".join(
        f"{key}: {_plain(mixed.info[key])}" for key in ("mixed", "consent") if key in mixed.info
    )
    return [f"{path}: {options.first} and {options.second}, {told}"]


_ACTIONS = {
    "list": lambda library, options: listing(library, options.all),
    "info": _info,
    "preview": _preview,
    "mix": _mix,
    "rename": lambda library, options: [str(library.rename(options.old, options.new))],
    "delete": lambda library, options: [f"deleted {library.delete(options.voice)}"],
    "export": lambda library, options: [str(library.export(options.voice, options.target))],
    "import": lambda library, options: [str(library.add(options.file, options.name))],
}
