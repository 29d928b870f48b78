"""The main job in one command: a recording → a voice → new speech in it, with a picture of both."""

import sys
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from bark.commandline import FILE, FOLDER, MODEL, SEED, WORD, OneLineParser, log_to_stderr, run
from bark.errors import MissingFileError, TextError

if TYPE_CHECKING:  # torch takes seconds to import: first the flags
    import numpy as np

TEXT = "Hello. This voice was cloned from a few seconds of speech."
PARAGRAPH = (
    "The sun began to shine. The traveller felt warm, then warmer still, and at last he took off "
    "his cloak "
    "and sat down under a tree. So the north wind had to say that the sun was the stronger of the "
    "two."
)


def main(argv: list[str] | None = None) -> int:
    """Run the demo; returns 0, or one line on stderr and another code when it cannot be done."""
    parser = OneLineParser(prog="python -m booth.demo", description=__doc__)
    parser.flag("--reference", FILE, "a recording to clone (default: a bundled clip)")
    parser.flag("--text", WORD, "what to say", TEXT)
    parser.flag("--model", MODEL, "nano (default), small, large, a folder or a hub id", "nano")
    parser.flag("--seed", SEED, "same seed, same speech (default: 1)", 1)
    parser.flag("--output-dir", FOLDER, "where the results go (default: out)", "out")

    def work() -> int:
        asked = parser.parse_args(argv)
        recording = None if asked.reference is None else Path(asked.reference)
        run_demo(recording, asked.text, asked.model, asked.seed, Path(asked.output_dir))
        return 0

    log_to_stderr()
    return run("demo", work)


def run_demo(reference: Path | None, text: str, model: str, seed: int, folder: Path) -> None:
    """Clone `reference`, speak `text` and a paragraph with it; write the voice, both
    and a picture.
    """
    from bark import Bark, load_audio, speak_long
    from hubert.clone import Cloner

    from .plots import figure, save_figure

    shown = model != "nano" and sys.stderr.isatty()  # nano says a line every second or two
    bundled = resources.files("booth") / "samples" / "reference.flac"
    with resources.as_file(bundled) as sample:
        recording = reference if reference is not None else sample
        bark = Bark.from_pretrained(model, progress=shown)
        made = Cloner.from_pretrained(model, progress=shown).clone(
            recording, consent="synthetic" if reference is None else None
        )
        start, end = made.report.start, made.report.end
        heard = load_audio(recording, bark.layout.sample_rate, start=start, end=end)
    _show(
        "voice",
        made.voice.save(folder / "demo.npz", bark.layout),
        f"from {start:.1f} to {end:.1f} s of {recording}",
    )
    for finding in made.findings:
        print(f"         {finding.message}")  # noqa: T201
    take = bark.generate(text, made.voice, seed=seed, progress=shown)
    rate = take.sample_rate
    take.save(folder / "demo.wav", record=False)
    seconds = sum(take.timings.values())
    _show("speech", folder / "demo.wav", f"{take.duration:.1f} s, made in {seconds:.1f} s: {text}")
    for line in _judged(heard, take.audio, text, rate):
        print(f"         {line}")  # noqa: T201
    save_figure(
        figure({f"reference: {recording.name}": heard, text: take.audio}, rate), folder / "demo.png"
    )
    _show("picture", folder / "demo.png", "waveform and mel spectrogram of both")
    paragraph = speak_long(bark, PARAGRAPH, made.voice, seed=seed, progress=shown)
    paragraph.save(folder / "demo_long.wav", record=False)
    _show(
        "long",
        folder / "demo_long.wav",
        f"{len(paragraph.parts)} parts, {len(paragraph.audio) / rate:.1f} s",
    )


def _judged(reference: "np.ndarray", speech: "np.ndarray", text: str, rate: int) -> list[str]:
    """Say how alike the voices are and which words are heard, where those tools are installed."""
    from hubert.judge import VoiceEmbedder, own_words

    found = []
    with suppress(MissingFileError):
        embed = VoiceEmbedder()
        alike = float(embed(reference, rate) @ embed(speech, rate))
        found.append(f"likeness to the reference {alike:.2f} (resemblyzer)")
    with suppress(MissingFileError, TextError):  # in other scripts there is nothing it could hear
        heard = " ".join(own_words(text)(speech, rate))
        found.append(f"heard among the text's words: {heard}")
    return found


def _show(what: str, path: Path, note: str) -> None:
    print(f"{what:8} {path}  {note}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
