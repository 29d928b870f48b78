"""The main job in one command: a recording → a voice → new speech in it, with a picture of both."""

import argparse
import logging
import sys
from importlib import resources
from pathlib import Path

from bark import Bark
from bark.audio import load_audio, save_audio
from bark.errors import BarkError
from booth.pictures import figure, save_figure
from hubert.clone import clone_voice

TEXT = "Hello. This voice was cloned from a few seconds of speech."


def main(argv: list[str] | None = None) -> int:
    """Run the demo; returns 0, or 1 with one line on stderr when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m booth.demo", description=__doc__)
    parser.add_argument("--reference", type=Path, help="a recording to clone (default: a bundled clip)")
    parser.add_argument("--text", default=TEXT, help="what to say")
    parser.add_argument("--model", default="nano", help="nano, small, large, a folder or a hub id")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output-dir", type=Path, default=Path("out"))
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        run_demo(options.reference, options.text, options.model, options.seed, options.output_dir)
    except BarkError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def run_demo(reference: Path | None, text: str, model: str, seed: int, folder: Path) -> None:
    """Clone `reference`, speak `text` with it, and write ``demo.npz``, ``demo.wav`` and ``demo.png``."""
    bundled = resources.files("booth") / "samples" / "reference.flac"
    with resources.as_file(bundled) as sample:
        recording = reference if reference is not None else sample
        bark = Bark.from_pretrained(model)
        voice = clone_voice(recording, model=model)
        heard = load_audio(recording, bark.layout.sample_rate)
    generation = bark.generate(text, voice, seed=seed)
    voice.save(folder / "demo.npz")
    save_audio(folder / "demo.wav", generation.audio, generation.sample_rate, tags={"title": text})
    pictured = {f"reference: {recording.name}": heard[: 12 * bark.layout.sample_rate], text: generation.audio}
    save_figure(figure(pictured, bark.layout.sample_rate), folder / "demo.png")
    seconds = sum(generation.timings.values())
    print(f"voice   {folder / 'demo.npz'}  from {recording.name}")  # noqa: T201
    print(f"speech  {folder / 'demo.wav'}  {generation.duration:.1f} s, made in {seconds:.1f} s")  # noqa: T201
    print(f"picture {folder / 'demo.png'}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
