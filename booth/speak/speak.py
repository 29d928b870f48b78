"""Turns options into takes: plans every text, speaks it part by part, saves each take when it is
whole.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from bark.audio.write import encode_audio
from bark.checkpoints.find import find_model
from bark.devices import offload_wanted, small_wanted
from bark.errors import SettingError
from bark.longform.join import SILENCE
from bark.longform.speak import LongTake
from bark.pipeline import Bark
from bark.text.dialogue import Turn
from bark.text.split import estimate_seconds
from booth.cli.kinds import FORMATS
from booth.cli.options import SpeakOptions
from booth.takes.runs import identity, open_run
from booth.takes.take import Take, tags, workshop
from booth.voices.library import RANDOM
from hubert.judge import TakeJudge

from .cast import Ask, Cast, cast, label_of, with_marked
from .job import Job, judge_of, keep, last_take, perform, stem_of
from .plan import Planner, plan, read_texts
from .replay import replay

logger = logging.getLogger(__name__)

Script = tuple[str, tuple[Turn, ...]]  # a text and its parts


@dataclass(frozen=True)
class Work:
    """A command with its model and voices, ready to be spoken."""

    options: SpeakOptions
    model: Mapping[str, Any]  # arguments of ``Bark.from_pretrained``
    bark: Bark
    cast: Cast
    scripts: tuple[Script, ...]  # one for each take
    name: str  # of the run
    shown: bool  # progress bars
    judge: TakeJudge | None  # chooses where parts are spoken several times

    @property
    def folder(self) -> Path:
        """Where its takes go."""
        return _target(self.options).parent


def speak(options: SpeakOptions, *, ask: Ask | None = None) -> Iterator[Take]:
    """Speak what the options ask for and yield each take when it is on disk.

    The same options after a kill or Ctrl-C go on where that left off.

    Raises
    ------
    BarkError
        Whatever is wrong, before anything is spoken where possible.
    KeyboardInterrupt
        With a sentence that says what is kept and how to go on.
    """
    work = _prepared(options, ask)
    if options.regenerate is None:
        yield from _takes(work)
    else:
        path = last_take(work.folder, work.name)
        yield replay(path, bark=work.bark, regenerate=options.regenerate, progress=work.shown).take


def _prepared(options: SpeakOptions, ask: Ask | None) -> Work:
    """Read the texts, load the model, find the voices and plan every part."""
    texts = read_texts(options)
    model = model_of(options)
    files = replace(
        find_model(model["name"]), name=model["name"]
    )  # no weights yet: first what is quick
    planner = Planner(files.layout, files.load_tokenizer())
    plans = [(text, plan(text, options, planner)) for text in texts]
    scripts = tuple(script for script in plans for _ in range(options.iterations))
    _check_single(options, len(scripts))
    if options.output_filename != "-":
        with workshop(_target(options).parent):
            pass  # it can be written: better to know before the work
    who = cast(options, files, ask)
    for _, turns in scripts:
        with_marked(files, who, turns)  # an unknown mark is found before the first take, too
    bark = Bark.from_pretrained(**model)
    judge = judge_of(bark, options.best_of)
    shown = options.progress_bar or (not options.silent and sys.stderr.isatty())
    return Work(
        options, model, bark, who, scripts, _identity(options, bark, who, scripts), shown, judge
    )


def _takes(work: Work) -> Iterator[Take]:
    """Speak the takes that an earlier process has not finished."""
    options, total, finished = work.options, sum(len(turns) for _, turns in work.scripts), 0
    to_file = options.output_filename != "-"

    def tick(parts: int = 1) -> None:
        nonlocal finished
        finished += parts
        bar.update(parts)

    with (
        open_run(work.folder, work.name, options.seed, kept=total > 1 and to_file) as run,
        tqdm(total=total, desc="whole", unit="part", disable=not work.shown or total == 1) as bar,
    ):
        if run.resumed:
            logger.warning("going on where an earlier run of this command stopped")
        try:
            for number, (text, turns) in enumerate(work.scripts):
                if run.has(number):
                    tick(len(turns))
                    continue
                journal = run.journal(number) if len(turns) > 1 and run.file is not None else None
                job = _job(options, work.bark, text, turns, work.cast, seed_of(run.seed, number))
                spoken = perform(
                    work.bark, job, journal, progress=work.shown, tick=tick, judge=work.judge
                )
                if not to_file:
                    _to_stdout(spoken, job, options.output_format or "wav")
                    continue
                take = keep(
                    job, spoken, work.bark, work.model, run=work.name, target=_target(options, job),
                    suffix=_suffix(options), journal=journal,
                    with_voice=options.always_save_speaker or options.output_full,
                )  # fmt: skip
                run.finish(number, take.record.name)
                yield take
        except KeyboardInterrupt as interrupt:
            kept = f"{finished} of {total} parts are kept: give the same command again to go on."
            raise KeyboardInterrupt(
                kept if run.file is not None else "Nothing is kept."
            ) from interrupt


def seed_of(seed: int, number: int) -> int:
    """Return the seed of one take of a run, counted from 0; the first has the run's own."""
    if number == 0:
        return seed
    return int.from_bytes(sha256(f"take {seed}/{number}".encode()).digest()[:4], "big") >> 1


def model_of(options: SpeakOptions) -> dict[str, Any]:
    """Return the arguments of ``Bark.from_pretrained`` that the options mean."""
    name = options.model_name() or ("small" if small_wanted() else "large")
    if Path(name).is_dir():
        name = str(Path(name).resolve())
    small = {
        "semantic": options.text_use_small,
        "coarse": options.coarse_use_small,
        "fine": options.fine_use_small,
    }
    return {
        "name": name,
        **{stage: "small" for stage, asked in small.items() if asked and name != "small"},
        "device": options.device,
        "dtype": options.dtype,
        "offload": options.offload or offload_wanted(),
    }


def show_plan(options: SpeakOptions) -> list[str]:
    """Return, line by line, what the options would make; needs a tokenizer at most, no weights."""
    name = model_of(options)["name"]
    files = find_model(name)
    planner = Planner(files.layout, files.load_tokenizer())
    named = options.audio_file_as_history_prompt or options.history_prompt or options.speaker
    voice = None if named == RANDOM else named
    lines = []
    for number, text in enumerate(read_texts(options), 1):
        first = (number - 1) * options.iterations
        seed = "SEED" if options.seed is None else seed_of(options.seed, first)
        turns = plan(text, options, planner)
        seconds = sum(estimate_seconds(turn.text) for turn in turns)
        if not options.text_splits_only:
            times = f"{options.iterations} takes of " if options.iterations > 1 else ""
            parts = f"{len(turns)} part{'s' if len(turns) > 1 else ''}"
            parts += f", each the best of {options.best_of}" if options.best_of > 1 else ""
            stem = stem_of(text, label_of(voice, any(turn.speaker for turn in turns)), seed)
            lines.append(
                f"text {number}: {times}{parts}, about {seconds:.0f} s, {options.mode()}, model "
                f"{name}, "
                f"voice {voice or 'any'}, to "
                f"{Path(options.output_dir) / (options.output_filename or stem)}"
            )
        for part, turn in enumerate(turns, 1):
            speaker = f"{turn.speaker}: " if turn.speaker else ""
            lines.append(f"{part:4}  {estimate_seconds(turn.text):5.1f} s  {speaker}{turn.text}")
    return lines


def _job(
    options: SpeakOptions, bark: Bark, text: str, turns: Sequence[Turn], who: Cast, seed: int
) -> Job:
    silence, crossfade = options.add_silence_between_segments, options.crossfade_between_segments
    if silence is None:
        silence = 0.0 if crossfade or options.split_by_words or options.split_by_lines else SILENCE
    settings = bark.defaults.changed(options.settings()).to_dict()
    who = with_marked(bark, who, turns)
    return Job(
        text, tuple(turns), who, options.mode(), seed, silence, crossfade, settings, options.best_of
    )


def _identity(options: SpeakOptions, bark: Bark, who: Cast, scripts: Sequence[Script]) -> str:
    """Name the run after all that its result depends on, except a seed that is yet to be drawn."""
    same = replace(options, regenerate=None, silent=False, progress_bar=False, consent=None)
    voices = {name: voice.digest for name, voice in who.voices.items()}
    voice = who.voice and who.voice.digest
    given = {
        f.name: getattr(same, f.name) for f in fields(same) if getattr(same, f.name) != f.default
    }
    return identity(
        {"options": repr(given), "model": bark.name, "scripts": scripts, "voices": [voice, voices]}
    )


def _suffix(options: SpeakOptions) -> str:
    suffix = Path(options.output_filename or "").suffix.lower()
    return suffix if suffix[1:] in FORMATS else f".{options.output_format or 'wav'}"


def _target(options: SpeakOptions, job: Job | None = None) -> Path:
    """Return the take's path without suffix."""
    name = options.output_filename
    if name is None or name == "-":
        name = "" if job is None else stem_of(job.text, job.cast.label, job.seed)
        return Path(options.output_dir).expanduser() / (name or "take")
    path = Path(options.output_dir).expanduser() / Path(name).expanduser()
    return path.with_suffix("") if path.suffix.lower()[1:] in FORMATS else path


def _check_single(options: SpeakOptions, takes: int) -> None:
    single = {
        "--regenerate": options.regenerate,
        "--output_filename -": options.output_filename == "-",
    }
    for flag, asked in single.items():
        if asked and takes > 1:
            raise SettingError(
                f"{flag} is for one take", f"{takes} takes", "one text, one iteration"
            )
    if options.output_filename == "-" and sys.stdout.isatty():
        raise SettingError(
            "standard output is the screen, which cannot play audio", fix="Add: > speech.wav"
        )


def _to_stdout(spoken: LongTake, job: Job, kind: str) -> None:
    data = encode_audio(
        spoken.audio, spoken.sample_rate, kind, tags({"text": job.text, "seed": job.seed})
    )
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
