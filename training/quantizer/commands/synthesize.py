"""``python -m hubert.synthesize``: lets Bark speak texts, to train a quantizer on.

python -m hubert.synthesize --texts sentences.txt --out DIR [--model nano] [--voices a,b]
    [--count 1000]
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bark import commandline
from bark.commandline import SEED, OneLineParser, choice, number, say, whole
from training.engine.progress import Progress
from training.quantizer.synthesize import (
    Speaker,
    SynthesisPlan,
    TakeLimits,
    bark_speaker,
    local_engine,
    ray_engine,
    read_texts,
    synthesize,
)

NO_VOICE = "none"  # Bark chooses whose voice
HOW_TO_GO_ON = "Finished takes are kept: give the same command again."


def build_parser() -> OneLineParser:
    """Return the parser of the command line."""
    parser = OneLineParser(
        prog="python -m hubert.synthesize",
        description="Make training pairs for a quantizer: Bark speaks texts, its own tokens are "
        "the truth.",
        epilog=commandline.EXIT_CODES,
    )
    limits = TakeLimits()
    parser.flag(
        "--texts", commandline.FILE, "one sentence a line, UTF-8, any language", required=True
    )
    parser.flag("--out", commandline.FOLDER, "folder of the pairs", required=True)
    parser.flag(
        "--model",
        commandline.MODEL,
        "nano, small, large, a folder or a hub id (default: large)",
        "large",
    )
    voices = f"names or files, commas between; {NO_VOICE}: Bark chooses (default)"
    parser.flag("--voices", commandline.WORD, voices, NO_VOICE)
    parser.flag("--count", whole(1), "takes to make (default: one for each text)")
    parser.flag("--seed", SEED, "of all takes together (default: 0)", 0)
    parser.flag("--batch", whole(1), "takes spoken at once (default: 8)", 8)
    parser.flag(
        "--temperature", number(above=True), "of semantic and coarse tokens (default: the model's)"
    )
    parser.flag("--min-seconds", number(), "refuse shorter takes", limits.min_seconds)
    parser.flag("--max-silence", number(0, 1), "refuse a larger share", limits.max_silence)
    parser.flag(
        "--engine", choice("local", "ray"), "ray: several machines (default: local)", "local"
    )
    parser.flag("--workers", whole(1), "Ray workers (default: one for each GPU, else CPU)")
    parser.flag("--device", commandline.DEVICE, "auto, cpu, cuda or mps (default: auto)", "auto")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if at least one pair is there."""
    return commandline.run("synthesize", lambda: _work(argv), HOW_TO_GO_ON)


def _work(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    commandline.log_to_stderr(logging.INFO)
    counts = _run(arguments)
    say(f"{counts['kept']} of {counts.total()} takes kept in {arguments.out}")
    for reason, number_of in counts.most_common():
        if reason != "kept":
            say(f"refused {number_of}: {reason}")
    if not counts["kept"]:
        return commandline.FAILED
    hubert = " --hubert nano" if arguments.model == "nano" else ""
    say(f"next: python -m hubert.prepare {arguments.out}{hubert}")
    return 0


def _run(arguments: argparse.Namespace) -> Counter[str]:
    texts = read_texts(Path(arguments.texts))
    from bark.checkpoints.find import find_model
    from bark.pipeline import Bark

    files = find_model(arguments.model)
    voices = tuple(
        None if name == NO_VOICE else name for name in arguments.voices.split(",") if name
    )
    for (
        voice
    ) in voices:  # a wrong name would otherwise be found out one refused take after the other
        files.resolve_voice(voice)
    heat = arguments.temperature
    plan = SynthesisPlan(
        texts=texts,
        voices=voices,
        count=len(texts) if arguments.count is None else arguments.count,
        seed=arguments.seed,
        model=arguments.model,
        semantic_vocab=files.layout.semantic_vocab,
        batch=arguments.batch,
        settings={} if heat is None else {"semantic_temperature": heat, "coarse_temperature": heat},
        limits=TakeLimits(arguments.min_seconds, arguments.max_silence),
    )
    name, device = arguments.model, arguments.device

    def make_speaker(shown: bool = False) -> Speaker:
        bark = Bark.from_pretrained(name, device=device, progress=shown)
        return bark_speaker(bark, plan.settings)

    if arguments.engine == "ray":
        engine = ray_engine(make_speaker, arguments.workers)
    else:
        engine = local_engine(make_speaker(sys.stderr.isatty()))
    return synthesize(plan, Path(arguments.out), engine, progress=Progress(sys.stderr))


if __name__ == "__main__":
    sys.exit(main())
