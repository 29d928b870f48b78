"""hubert.synthesize: a plan gives the same pairs however often it is interrupted, and bad takes are kept out."""

import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark.audio.read import load_audio
from bark.errors import BarkError, MissingFileError, SettingError, TextError
from bark.tokens import BARK, TokenLayout
from bark.voice.voice import Voice
from tests.conftest import contents
from training.quantizer.commands.synthesize import main
from training.quantizer.pair_sources import find_pairs
from training.quantizer.synthesize import (
    Spoken,
    SynthesisPlan,
    Take,
    TakeLimits,
    bark_speaker,
    clipped_ratio,
    fault_of,
    local_engine,
    plan_takes,
    ray_engine,
    read_texts,
    silence_ratio,
    synthesize,
)

TEXTS = ("Guten Tag.", "Привет, мир!", "今天天气很好。", "one", "two", "three", "four")
PLAN = SynthesisPlan(TEXTS, voices=("anna", None), count=14, seed=3, model="stub", batch=3)


@dataclass
class Made:
    """As `bark.pipeline.Generation`, in so far as it is looked at."""

    audio: np.ndarray
    tokens: Voice
    layout: TokenLayout = BARK
    sample_rate: int = BARK.sample_rate


class StubBark:
    """Speaks noise that depends on text, voice and seed."""

    layout = BARK

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[list[str]] = []
        self.stop_after = stop_after

    def generate_batch(
        self, texts: Sequence[str], voice: Any = None, *, seeds: Sequence[int], **settings: Any
    ) -> list[Made]:
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(list(texts))
        if any("unspeakable" in text for text in texts):
            raise TextError("cannot be spoken")
        return [self._speak(text, voice, seed) for text, seed in zip(texts, seeds, strict=True)]

    def _speak(self, text: str, voice: Any, seed: int) -> Made:
        generator = np.random.default_rng([seed, len(text), len(voice or "")])
        steps = 60 + int(generator.integers(20))
        audio = 0.1 * generator.normal(size=steps * 480).astype(np.float32)
        if text == "silent":
            audio[4000:] = 0
        return Made(
            audio,
            Voice(
                generator.integers(0, 10_000, steps), np.zeros((2, 5), int), np.zeros((8, 5), int)
            ),
        )


def run(out: Path, bark: StubBark | None = None, plan: SynthesisPlan = PLAN) -> Any:
    return synthesize(plan, out, local_engine(bark_speaker(bark or StubBark(), plan.settings)))  # type: ignore[arg-type]


def test_pairs_are_audio_and_the_tokens_it_was_made_of(tmp_path: Path) -> None:
    assert run(tmp_path) == {"kept": 14}
    found = find_pairs(tmp_path)
    assert len(found.pairs) == 14 and not found.refused
    takes = {take.name: take for batch in plan_takes(PLAN) for take in batch}
    for name, take in takes.items():
        made = StubBark()._speak(take.text, take.voice, take.seed)
        assert np.array_equal(np.load(tmp_path / "semantic" / f"{name}.npy"), made.tokens.semantic)
        audio = load_audio(tmp_path / "wav" / f"{name}.wav", 24_000)
        assert np.abs(audio - made.audio).max() < 1e-3
        note = json.loads((tmp_path / "takes" / f"{name}.json").read_text(encoding="utf-8"))
        assert (note["text"], note["voice"], note["seed"]) == (take.text, take.voice, take.seed)
        assert note["model"] == "stub" and note["refused"] == ""


def test_every_text_in_every_script_and_every_voice_is_spoken_with_a_seed_of_its_own() -> None:
    batches = plan_takes(replace(PLAN, count=200))
    takes = [take for batch in batches for take in batch]
    assert {take.text for take in takes} == set(TEXTS) and {take.voice for take in takes} == {
        "anna",
        None,
    }
    assert len({take.seed for take in takes}) == len({take.name for take in takes}) == 200
    assert all(len({take.voice for take in batch}) == 1 and len(batch) <= 3 for batch in batches)


def test_interrupted_anywhere_it_ends_with_the_same_files(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    for stop in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", StubBark(stop_after=stop))
    bark = StubBark()
    run(tmp_path / "parts", bark)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    run(tmp_path / "parts", StubBark(stop_after=0))  # nothing left to speak


def test_a_pair_without_its_note_is_made_again(tmp_path: Path) -> None:
    run(tmp_path)
    before = contents(tmp_path)
    name = plan_takes(PLAN)[0][0].name
    (tmp_path / "takes" / f"{name}.json").unlink()
    (tmp_path / "wav" / f"{name}.wav").write_bytes(b"cut off")
    run(tmp_path)
    assert contents(tmp_path) == before


def test_more_takes_leave_the_first_ones_as_they_are(tmp_path: Path) -> None:
    run(tmp_path)
    before = contents(tmp_path)
    assert run(tmp_path, plan=replace(PLAN, count=20)) == {"kept": 20}
    after = contents(tmp_path)
    assert all(after[name] == data for name, data in before.items() if name != "synthesis.json")


def test_another_plan_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(SettingError, match="holds takes made otherwise: got other seed, model"):
        run(tmp_path, plan=replace(PLAN, seed=4, model="other"))


def test_bad_takes_are_counted_and_not_kept(tmp_path: Path) -> None:
    plan = replace(PLAN, texts=("fine", "silent", "unspeakable"), voices=(None,), count=6)
    assert run(tmp_path, plan=plan) == {"kept": 2, "too much silence": 2, "cannot be spoken": 2}
    assert (
        len(list((tmp_path / "wav").iterdir())) == len(list((tmp_path / "semantic").iterdir())) == 2
    )
    assert len(list((tmp_path / "takes").iterdir())) == 6


def test_each_filter_catches_its_fault() -> None:
    noise = 0.1 * np.random.default_rng(0).normal(size=48_000).astype(np.float32)
    good = Spoken(Take("n", "t", None, 0), noise, np.arange(100), 24_000, at_limit=False)
    limits = TakeLimits()
    assert fault_of(good, limits) == ""
    gap = np.concatenate(
        [noise[:14_400], np.zeros(48_000, np.float32)]
    )  # 0.6 s speech, 2 s nothing
    for change, told in (
        ({"audio": noise[:20_000]}, "too short"),
        ({"at_limit": True}, "ran into the time limit"),
        ({"audio": gap}, "too much silence"),
        ({"audio": np.zeros(48_000, np.float32)}, "too much silence"),
        ({"audio": np.clip(noise * 20, -1, 1)}, "clipped"),
        ({"audio": np.where(np.arange(48_000) == 9, np.nan, noise)}, "no finite audio"),
        ({"fault": "no breath"}, "no breath"),
    ):
        assert fault_of(replace(good, **change), limits) == told


def test_ratios_are_shares() -> None:
    tone = 0.5 * np.sin(np.arange(24_000) / 10)
    assert silence_ratio(tone, 24_000) == 0.0
    assert silence_ratio(np.concatenate([tone, np.zeros(24_000)]), 24_000) == pytest.approx(0.5)
    assert clipped_ratio(np.array([1.0, 0.0, -1.0, 0.5])) == 0.5
    assert silence_ratio(np.zeros(3), 24_000) == 1.0 and clipped_ratio(np.zeros(0)) == 0.0


def test_texts_are_lines_of_utf8(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes("\ufeffПривет\r\n\n  你好  \n".encode())
    assert read_texts(path) == ("Привет", "你好")
    path.write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(TextError, match="is not UTF-8"):
        read_texts(path)
    path.write_text("\n \n")
    with pytest.raises(TextError, match="holds no text"):
        read_texts(path)
    with pytest.raises(MissingFileError, match="no file"):
        read_texts(tmp_path / "absent")


def test_a_plan_must_have_texts_voices_and_counts() -> None:
    with pytest.raises(TextError, match="no texts to speak"):
        SynthesisPlan(())
    with pytest.raises(SettingError, match="no voices"):
        SynthesisPlan(("a",), voices=())
    with pytest.raises(SettingError, match="count: got 0; allowed: 1 or more"):
        SynthesisPlan(("a",), count=0)


def test_a_misspelt_voice_is_refused_before_the_first_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts").write_text("hello\n")
    out = tmp_path / "pairs"
    flags = ["--texts", str(tmp_path / "texts"), "--out", str(out), "--model", "nano"]
    assert main([*flags, "--voices", "alba,bruon"]) == 2
    assert "Did you mean bruno?" in capsys.readouterr().err and not out.exists()


def test_engine_ray_without_ray_says_how_to_install_it() -> None:
    if importlib.util.find_spec("ray"):
        pytest.skip("ray is installed here")
    with pytest.raises(SettingError, match=r"engine ray.*bark-voice-booth\[ray\]"):
        ray_engine(lambda: lambda takes: [])


@pytest.mark.slow
def test_ray_gives_the_same_files(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")

    def make() -> Any:
        return bark_speaker(StubBark(), {})  # type: ignore[arg-type]

    synthesize(PLAN, tmp_path / "ray", ray_engine(make, workers=2))
    run(tmp_path / "local")
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_the_order_batches_come_back_in_does_not_matter(tmp_path: Path) -> None:
    def backwards(batches: Any) -> Iterator[list[Spoken]]:
        speak = bark_speaker(StubBark(), {})  # type: ignore[arg-type]
        yield from (speak(batch) for batch in reversed(list(batches)))

    synthesize(PLAN, tmp_path / "backwards", backwards)
    run(tmp_path / "local")
    assert contents(tmp_path / "backwards") == contents(tmp_path / "local")


@pytest.mark.parametrize("content", ["[" * 100_000, "3", '{"refused": 3}', "9" * 5000])
def test_a_damaged_note_or_plan_is_one_of_our_errors(tmp_path: Path, content: str) -> None:
    run(tmp_path)
    name = plan_takes(PLAN)[0][0].name
    for file in (f"takes/{name}.json", "synthesis.json"):
        good = (tmp_path / file).read_text(encoding="utf-8")
        (tmp_path / file).write_text(content)
        with pytest.raises(BarkError, match=f"{Path(file).name}|made otherwise"):
            run(tmp_path)
        (tmp_path / file).write_text(good, encoding="utf-8")
