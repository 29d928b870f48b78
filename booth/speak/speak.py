"""Carries out a request: plans the texts, speaks them part by part, saves each take when whole.

Nothing here parses, prints or reads standard input: the command line, replay, previews, Coqui's
object and the demo all come through `speak`.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bark.audio.postprocess import Step, step_of
from bark.audio.read import open_audio
from bark.checkpoints.find import ModelFiles, find_model
from bark.devices import offload_wanted, small_wanted
from bark.errors import MissingFileError, SettingError
from bark.longform.drift import Drift
from bark.longform.join import SILENCE
from bark.longform.speak import LongTake
from bark.pipeline import Bark
from bark.stages.progress import Progress, Watch
from bark.stages.seeds import new_seed, take_seed
from bark.storage.files import expand
from bark.text.dialogue import Turn
from bark.text.reading import tell_lost
from bark.text.split import estimate_seconds
from bark.text.tidy import tidy
from bark.voice.voice import Voice
from booth.takes.runs import identity, open_run
from booth.takes.take import Take, workshop
from booth.voices.library import RANDOM, Library, model_here
from hubert.judge import TakeJudge

from .cast import Ask, Cast, absolute, cast, label_of, read_voices, with_marked
from .job import Job, drift_of, judge_of, keep, last_take, perform, stem_of
from .plan import Planner, plan
from .replay import replay
from .request import SpeakRequest

logger = logging.getLogger(__name__)

DOWNLOADS = {"large": "4.3 GB", "small": "1.6 GB"}  # of weights, from the hub
Script = tuple[str, tuple[Turn, ...]]  # a text and its parts


@dataclass(frozen=True)
class Work:
    """A request with its model and voices, ready to be spoken."""

    request: SpeakRequest
    bark: Bark
    cast: Cast
    scripts: tuple[Script, ...]  # one for each take
    name: str  # of the run
    bars: bool
    judge: TakeJudge | None  # chooses where parts are spoken several times
    steps: tuple[Step, ...]  # before a file is written
    drift: Drift | None  # keeps the parts alike

    def job(self, number: int, seed: int) -> Job:
        """Return the job of one take, counted from 0."""
        text, turns = self.scripts[number]
        request, silence = self.request, self.request.silence
        if silence is None:
            silence = 0.0 if request.crossfade else SILENCE
        return Job(
            text,
            turns,
            with_marked(self.bark, self.cast, turns, request.allow_paths),
            request.mode,
            take_seed(seed, number),
            silence,
            request.crossfade,
            self.bark.check(request.settings).to_dict(),
            request.best_of,
        )


def speak(
    request: SpeakRequest,
    *,
    bark: Bark | None = None,
    ask: Ask | None = None,
    progress: Progress = False,
) -> Iterator[Take]:
    """Speak what is asked for and yield each take when it is on disk.

    The same request after a kill or Ctrl-C goes on where that left off.

    Parameters
    ----------
    bark : the model, if it is loaded already.
    ask : shows a question and returns the answer; asked for consent, and before a large download.
    progress : True shows bars.

    Raises
    ------
    BarkError
        Whatever is wrong, before anything is spoken where possible.
    KeyboardInterrupt
        With a sentence that says what is kept and how to go on.
    """
    work = _prepared(request, bark, ask, Watch.of(progress).bars)
    if request.regenerate is None:
        yield from _takes(work)
    else:
        path = last_take(expand(request.folder), work.name)
        yield replay(
            path, bark=work.bark, regenerate=request.regenerate,
            postprocess=request.postprocess or None, bars=work.bars,
        ).take  # fmt: skip


def speak_unkept(
    request: SpeakRequest,
    *,
    bark: Bark | None = None,
    ask: Ask | None = None,
    progress: Progress = False,
) -> LongTake:
    """Speak a request of one take and return it; nothing is written."""
    work = _prepared(replace(request, kept=False), bark, ask, Watch.of(progress).bars)
    job = work.job(0, new_seed(request.seed))
    return perform(work.bark, job, bars=work.bars, judge=work.judge, drift=work.drift)


def model_of(request: SpeakRequest, known: dict[str, Voice] | None = None) -> dict[str, Any]:
    """Return the arguments of ``Bark.from_pretrained`` that a request means.

    Without a model it is the one that the voice was made for, else Suno's. A voice that was read
    for that is kept in `known`.
    """
    name = request.model or _made_for(request.voice, {} if known is None else known)
    name = name or ("small" if small_wanted() else "large")
    if Path(name).is_dir():
        name = str(Path(name).resolve())
    return {
        "name": name,
        **{stage: "small" for stage in request.small_stages if name != "small"},
        "device": request.device,
        "dtype": request.dtype,
        "offload": request.offload or offload_wanted(),
        **({} if request.decoder is None else {"decoder": request.decoder}),
        **({"fast": True} if request.fast else {}),
    }


def show_plan(request: SpeakRequest) -> list[str]:
    """Return, line by line, what a request would make; needs a tokenizer, no weights."""
    _check_files(request)
    name = model_of(request)["name"]
    files = find_model(name)
    planner = planner_of(files)
    plans = [plan(text, request, planner) for text in request.texts]
    read_voices(request, files, {}, plans)
    named = str(request.recording or request.voice or request.speaker or "")
    voice = None if named in ("", RANDOM) else named
    lines = []
    for number, (text, turns) in enumerate(zip(request.texts, plans, strict=True)):
        first = number * request.iterations
        seed = "SEED" if request.seed is None else take_seed(request.seed, first)
        seconds = sum(estimate_seconds(turn.text) for turn in turns)
        times = f"{request.iterations} takes of " if request.iterations > 1 else ""
        parts = f"{len(turns)} part{'s' if len(turns) > 1 else ''}"
        parts += f", each the best of {request.best_of}" if request.best_of > 1 else ""
        stem = request.name or stem_of(
            text, label_of(voice, any(turn.speaker for turn in turns)), seed
        )
        lines.append(
            f"text {number + 1}: {times}{parts}, about {seconds:.0f} s, {request.mode}, model "
            f"{name}, voice {voice or 'any'}, to {request.folder / stem}"
        )
        for part, turn in enumerate(turns, 1):
            who = f"{turn.speaker}: " if turn.speaker else ""
            lines.append(f"{part:4}  {estimate_seconds(turn.text):5.1f} s  {who}{turn.text}")
    return lines


def show_reading(request: SpeakRequest) -> list[str]:
    """Return each text as the words that the model will say; what is lost is logged."""
    tokenizer = find_model(model_of(request)["name"]).load_tokenizer()
    lines = []
    for text in request.texts:
        cleaned = tidy(text)
        reading = tokenizer.read(cleaned)
        tell_lost(reading, cleaned)
        lines.append(reading.words)
    return lines


def planner_of(files: ModelFiles) -> Planner:
    """Return what plans texts for a model that is not loaded yet."""
    return Planner(files.name, files.layout, files.load_tokenizer())


def _prepared(request: SpeakRequest, bark: Bark | None, ask: Ask | None, bars: bool) -> Work:
    """Plan every part, find the voices, load the model: first what is quick."""
    _check_files(request)
    steps = tuple(step_of(step) for step in request.postprocess)
    known: dict[str, Voice] = {}
    model = model_of(request, known)
    if bark is None and request.model is None:
        model["name"] = _affordable(model["name"], ask)
    files = replace(find_model(model["name"]), name=model["name"])
    if bark is None:
        files, known = read_voices(request, files, known)
    planner = planner_of(files) if bark is None else Planner(bark.name, bark.layout, bark.tokenizer)
    plans = [(text, plan(text, request, planner)) for text in request.texts]
    scripts = tuple(script for script in plans for _ in range(request.iterations))
    if len(scripts) > 1 and (request.regenerate or not request.kept):
        what = "regenerate" if request.regenerate else "speech that is not kept"
        raise SettingError(f"{what} is for one take", f"{len(scripts)} takes", "one text, one take")
    if request.kept:
        with workshop(expand(request.folder)):
            pass  # it can be written: better to know before the work
    who = cast(request, bark or files, ask, known)
    for _, turns in scripts:
        with_marked(bark or files, who, turns, request.allow_paths)  # before the first take
    bark = bark or Bark.from_pretrained(**model, progress=bars)
    judge, drift = judge_of(bark, request.best_of), drift_of(bark, request.drift)
    name = _identity(request, bark, who, scripts)
    return Work(request, bark, who, scripts, name, bars, judge, steps, drift)


def _check_files(request: SpeakRequest) -> None:
    """Say which file that was named is not there, or no recording, before any model is sought."""
    voices = [voice for voice in (request.voice, *request.voices.values()) if voice]
    named = [Path(voice) for voice in voices if voice.lower().endswith(".npz")]
    for path in [*named, *([request.recording] if request.recording else [])]:
        if not expand(path).exists():
            raise MissingFileError(f"no file {path}")
    if request.recording is not None:
        open_audio(request.recording)  # raises what is wrong with it


def _affordable(name: str, ask: Ask | None) -> str:
    """Return the model to take where none was named: never gigabytes without being asked."""
    if ask is None or name not in DOWNLOADS or not find_model(name).missing():
        return name
    answer = ask(
        f"Nothing says which model is to speak, and {name} is not on this computer. Download its "
        f"{DOWNLOADS[name]}, or speak with nano, which is here? (download or nano) "
    )
    if answer is None:  # nobody there: whatever is missing is told in one error
        return name
    if answer not in ("download", "nano"):
        raise SettingError("answer", repr(answer), "download or nano", "Or say --model")
    return "nano" if answer == "nano" else name


def _takes(work: Work) -> Iterator[Take]:
    """Speak the takes that an earlier process has not finished."""
    request, folder = work.request, expand(work.request.folder)
    total, finished = sum(len(turns) for _, turns in work.scripts), 0

    def count() -> None:
        nonlocal finished
        finished += 1

    with open_run(folder, work.name, request.seed, kept=total > 1) as run:
        if run.resumed:
            logger.warning("going on where an earlier run of this command stopped")
        try:
            for number, (_, turns) in enumerate(work.scripts):
                if run.has(number, take_seed(run.seed, number)):
                    finished += len(turns)
                    continue
                journal = run.journal(number) if len(turns) > 1 and run.file is not None else None
                job = work.job(number, run.seed)
                spoken = perform(
                    work.bark, job, journal, bars=work.bars, on_part=count,
                    judge=work.judge, drift=work.drift,
                )  # fmt: skip
                take = keep(
                    spoken,
                    run=work.name,
                    target=folder / (request.name or stem_of(job.text, job.cast.label, job.seed)),
                    suffix=f".{request.format}",
                    journal=journal,
                    with_voice=request.with_voice,
                    postprocess=work.steps,
                )
                run.finish(number, take.record.name)
                yield take
        except KeyboardInterrupt as interrupt:
            kept = f"{finished} of {total} parts are kept: give the same command again to go on."
            said = kept if run.file is not None else "Nothing is kept."
            raise KeyboardInterrupt(said) from interrupt


def _identity(request: SpeakRequest, bark: Bark, who: Cast, scripts: Sequence[Script]) -> str:
    """Name the run after all that its result depends on, except a seed that is yet to be drawn."""
    same = replace(request, regenerate=None, consent=None)
    voices = {name: voice.digest for name, voice in who.voices.items()}
    plain = SpeakRequest(())  # only what differs: a later field must not orphan a run
    given = {f.name: getattr(same, f.name) for f in fields(same)}
    asked: Mapping[str, Any] = {
        "request": {
            name: repr(value) for name, value in given.items() if value != getattr(plain, name)
        },
        "model": bark.name,
        "scripts": scripts,
        "voices": [who.voice and who.voice.digest, voices],
    }
    return identity(asked)


def _made_for(reference: str | None, known: dict[str, Voice]) -> str | None:
    """Return the model that a voice was made for, if it says so and can be found."""
    voice = None if reference is None else Library().read(reference)
    if reference is None or voice is None:
        return None
    known[absolute(reference)] = voice
    model = model_here(voice)
    if model is not None:
        logger.info("speaking with %s, for which %s was made", model, reference)
    return model
