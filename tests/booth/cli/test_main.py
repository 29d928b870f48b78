"""The command line on the tiny model: what it writes, how parts follow each other, how it fails and goes on."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from bark import Bark
from bark.audio import limited
from bark.errors import SilentError, TextError
from bark.longform.speak import LongTake
from bark.speech import file_hash
from bark.stages.seeds import part_seed
from bark.stages.seeds import take_seed as seed_of
from bark.version import __version__
from bark.voice.voice import Voice
from booth.cli.main import main
from booth.cli.texts import DEFAULT_TEXTS, read_texts
from booth.takes.take import read_record
from booth.voices.coqui_folder import SOURCE_HASH
from hubert.judge import TakeJudge
from hubert.reference import Finding
from tests.conftest import ROOT
from tests.judges import skip_without_judges

WORDS = "One two three four five six."
# The random model may end its speech with the very first token, which is an error.
HALF_A_SECOND = ("--semantic_allow_early_stop", "False", "--semantic_max_gen_duration_s", "0.5")


@pytest.fixture(autouse=True)
def no_own_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BARK_VOICES", str(tmp_path / "own voices"))


@pytest.fixture
def bark(tiny_bark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``bark --model tiny --output_dir out ...``: exit code, output and error lines."""

    def run(*words: str, model: str = str(tiny_bark)) -> SimpleNamespace:
        capsys.readouterr()
        code = main(
            ["--model", model, "--output_dir", str(tmp_path / "out"), *HALF_A_SECOND, *words]
        )
        shown = capsys.readouterr()
        return SimpleNamespace(code=code, out=shown.out.splitlines(), err=shown.err.splitlines())

    return run


@pytest.fixture(scope="module")
def loaded(tiny_bark: Path) -> Bark:
    return Bark.from_pretrained(str(tiny_bark))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every call of ``Bark.generate``: text, history, seed, settings and the tokens it made."""
    calls: list[dict[str, Any]] = []
    generate = Bark.generate

    def noting(self: Bark, text: str, voice: Voice | None = None, **rest: Any) -> Any:
        made = generate(self, text, voice, **rest)
        calls.append({"text": text, "history": voice, "made": made.tokens, **rest})
        return made

    monkeypatch.setattr(Bark, "generate", noting)
    return calls


def records(folder: Path) -> list[dict[str, Any]]:
    return [read_record(path) for path in sorted(folder.glob("*.json"))]


def digests(record: dict[str, Any]) -> list[str]:
    return [part["tokens_sha256"] for part in record["parts"]]


def a_voice(loaded: Bark, path: Path, seed: int = 3) -> Path:
    return loaded.generate("A voice to go on from.", seed=seed).voice.save(path, loaded.layout)


# ---- what is written -----------------------------------------------------------------------------------


def test_sunos_command(bark: Any, loaded: Bark, tmp_path: Path) -> None:
    voice = a_voice(loaded, tmp_path / "me.npz")
    done = bark(
        *("--text", "Hello there.", "--history_prompt", str(voice), "--output_filename", "a.wav"),
        *(
            "--text_temp",
            "0.6",
            "--waveform_temp",
            "0.5",
            "--silent",
            "True",
            "--output_full",
            "True",
        ),
        *("--seed", "11"),
    )
    audio = tmp_path / "out" / "a.wav"
    assert (done.code, done.out, done.err) == (0, [str(audio)], [])
    assert {path.name for path in audio.parent.iterdir()} == {"a.wav", "a.json", "a.npz"}
    wanted = loaded.generate(
        "Hello there.", voice, seed=11, semantic_temperature=0.6, coarse_temperature=0.5, max_duration_s=0.5,
        allow_early_stop=False,
    )  # fmt: skip
    record = read_record(audio.with_suffix(".json"))
    assert digests(record) == [wanted.tokens.digest] and record["seed"] == 11
    assert record["voice"] == {"reference": str(voice), "sha256": Voice.load(voice).digest}
    assert (
        record["settings"]["semantic_temperature"] == 0.6
        and record["settings"]["max_duration_s"] == 0.5
    )
    saved = Voice.load(audio.with_suffix(".npz"), loaded.layout)
    assert saved.digest == wanted.voice.digest and saved.info["spoken"] == "Hello there."
    samples, rate = soundfile.read(audio)
    assert rate == 24_000 and np.abs(samples - limited(wanted.audio)[0]).max() < 1e-3


def test_names_are_readable_and_never_reused(bark: Any, tmp_path: Path) -> None:
    for _ in range(2):
        assert bark("--text", "Hello, my friend!", "--seed", "7").code == 0
        assert bark("--text", "Hi.", "--filename", "a.flac").code == 0
    names = {path.name for path in (tmp_path / "out").iterdir() if path.suffix in (".wav", ".flac")}
    assert names == {"hello-my-friend-7.wav", "hello-my-friend-7_2.wav", "a.flac", "a_2.flac"}


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg"])
def test_every_format_says_that_it_is_ai(bark: Any, tmp_path: Path, kind: str) -> None:
    assert (
        bark("--text", "Hi.", "--output_format", kind, "--always_save_speaker", "False").code == 0
    )
    (audio,) = (tmp_path / "out").glob(f"*.{kind}")
    with soundfile.SoundFile(audio) as file:
        assert "AI-generated speech" in file.comment and file.title == "Hi."
    assert not list((tmp_path / "out").glob("*.npz"))


def test_dash_writes_audio_to_standard_output(
    bark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="utf-8"))
    assert (
        bark(
            "--text",
            WORDS,
            "--split_by_words",
            "2",
            "--output_filename",
            "-",
            "--output_format",
            "flac",
        ).code
        == 0
    )
    samples, rate = soundfile.read(io.BytesIO(buffer.getvalue()))
    assert rate == 24_000 and len(samples) > 2400
    assert not (tmp_path / "out").exists()


def test_the_screen_gets_no_audio(bark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    done = bark("--text", "Hi.", "--output_filename", "-")
    assert done.code == 2 and done.out == [] and "Add: > speech.wav" in done.err[0]


def test_iterations_differ_and_come_back_with_the_seed(bark: Any, tmp_path: Path) -> None:
    assert (
        bark(
            "--text", "Hi.", "--iterations", "3", "--seed", "5", "--output_dir", str(tmp_path / "a")
        ).code
        == 0
    )
    assert (
        bark(
            "--text", "Hi.", "--iterations", "3", "--seed", "5", "--output_dir", str(tmp_path / "b")
        ).code
        == 0
    )
    first, second = ([digests(record) for record in records(tmp_path / name)] for name in "ab")
    assert first == second and len({str(each) for each in first}) == 3


def test_no_text_speaks_default_texts_and_says_so(
    bark: Any, heard: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    done = bark("--split_by_words", "40")
    assert done.code == 0 and len(done.out) == len(DEFAULT_TEXTS)
    assert [call["text"] for call in heard] == list(DEFAULT_TEXTS)
    assert "no text is given" in caplog.text


@pytest.mark.parametrize("flag", ["--output_dir", "--output_filename"])
def test_a_home_folder_that_is_not_known_is_one_line(bark: Any, flag: str) -> None:
    done = bark("--text", "hi", flag, "~nosuchuser/x")
    assert done.code != 0
    assert done.err[-1].startswith("bark: ~nosuchuser stands for a home folder that is not known")


def test_bytes_of_a_locale_that_takes_them_for_ascii_are_utf_8() -> None:
    typed = "Zoë".encode().decode("ascii", "surrogateescape")
    assert read_texts(typed) == ("Zoë",)
    with pytest.raises(TextError, match=r"--text is not UTF-8.*Put it into a file"):
        read_texts("Zo\udceb")


def test_progress_bars_for_the_whole_and_the_part(bark: Any) -> None:
    flags = ["--text", WORDS, "--split_by_words", "3"]
    assert bark(*flags).err == []  # nobody watches
    shown = "".join(bark(*flags, "--progress_bar").err)
    assert "parts" in shown and "2/2" in shown and "semantic" in shown


def test_bars_of_parts_leave_the_screen(
    tiny_bark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line stays, that of the whole: the cursor goes up as often as down but once."""
    flags = [
        "--model",
        str(tiny_bark),
        "--output_dir",
        str(tmp_path),
        *HALF_A_SECOND,
        "--progress_bar",
    ]
    assert main([*flags, "--text", WORDS, "--split_by_words", "2"]) == 0
    shown = capsys.readouterr().err
    assert "semantic" in shown and shown.count("\n") - shown.count("\x1b[A") == 1


# ---- texts and parts ------------------------------------------------------------------------------------


def test_splits_are_by_count_of_words_or_lines(bark: Any, heard: list[dict[str, Any]]) -> None:
    bark("--text", WORDS, "--split_by_words", "4")
    assert [call["text"] for call in heard] == ["One two three four", "five six."]
    heard.clear()
    bark("--text", "First line\nsecond\n\nthird\n", "--split_by_lines", "2", "--prompt_text_prefix", "Now:",
         "--prompt_text_suffix", "over")  # fmt: skip
    assert [call["text"] for call in heard] == ["Now: First line second over", "Now: third over"]


@pytest.mark.parametrize("show", [(), ("--dry_run",)])
def test_a_part_that_does_not_fit_is_found_before_the_first_is_spoken(
    bark: Any, heard: list[dict[str, Any]], show: tuple[str, ...]
) -> None:
    text = "Short.\n" + "a great many words " * 20
    done = bark("--text", text, "--split_by_lines", "1", *show)
    assert done.code == 2 and "part 2 is too long for one utterance" in done.err[0] and not heard
    assert "Lower --split_by_words or --split_by_lines" in done.err[0]


def test_prefix_and_suffix_have_their_place_in_a_part(
    bark: Any, heard: list[dict[str, Any]]
) -> None:
    words = "These are some words. " * 12
    plain = bark("--text", words, "--dry_run").out
    dressed = bark("--text", words, "--dry_run", "--prompt_text_prefix", "So,").out
    assert len(dressed) > len(plain)
    done = bark("--text", words, "--prompt_text_suffix", "and so on " * 30)
    assert done.code == 2 and "prefix and suffix fill more than half" in done.err[0] and not heard


@pytest.mark.parametrize(
    ("flags", "given", "follows"),
    [
        ("", False, [None, 0, 1, 2]),
        ("", True, ["voice", 0, 1, 2]),
        ("--stable_mode", False, [None, 0, 0, 0]),
        ("--stable_mode", True, ["voice", "voice", "voice", "voice"]),
        ("--stable_mode_interval 2", False, [None, 0, 0, 2]),
        ("--stable_mode_interval 2", True, ["voice", 0, "voice", 2]),
        ("--stable_mode_interval 0", True, ["voice", 0, 1, 2]),
    ],
)
def test_what_each_part_goes_on_from(
    bark: Any,
    loaded: Bark,
    heard: list[dict[str, Any]],
    tmp_path: Path,
    flags: str,
    given: bool,
    follows: list[Any],
) -> None:
    """Bark Infinity's rules; a number means the part of that number, from 0."""
    voice = a_voice(loaded, tmp_path / "me.npz")
    extra = ["--history_prompt", str(voice)] if given else []
    heard.clear()
    done = bark(
        "--text",
        "One two three four.",
        "--split_by_words",
        "1",
        "--seed",
        "5",
        *flags.split(),
        *extra,
    )
    assert done.code == 0 and len(heard) == 4
    known: dict[Any, str | None] = {"voice": Voice.load(voice, loaded.layout).digest, None: None}
    known |= {
        number: call["made"].canonical(loaded.layout).digest for number, call in enumerate(heard)
    }
    assert [call["history"] and call["history"].digest for call in heard] == [
        known[name] for name in follows
    ]


def test_travolta_never_stops_early(bark: Any, heard: list[dict[str, Any]]) -> None:
    flags = [
        "--text",
        "Hi.",
        "--seed",
        "2",
        "--semantic_min_eos_p",
        "0",
        "--semantic_allow_early_stop",
        "True",
    ]
    assert bark(*flags).code == 1  # ends with the first token
    assert (
        bark(*flags, "--confused_travolta_mode", "--semantic_max_gen_duration_s", "0.8").code == 0
    )
    assert len(heard[-1]["made"].semantic) == 40


def test_every_setting_arrives(bark: Any, heard: list[dict[str, Any]]) -> None:
    flags = "--semantic_temp 0.5 --semantic_top_k 9 --semantic_top_p 0.8 --semantic_min_eos_p 0.05"
    flags += " --semantic_max_gen_duration_s 0.4 --semantic_allow_early_stop False"
    flags += " --coarse_temp 0.4 --coarse_top_k 8 --coarse_top_p 0.7 --fine_temp 0.3"
    assert bark("--text", "Hi.", *flags.split()).code == 0
    wanted = {
        "semantic_temperature": 0.5, "semantic_top_k": 9, "semantic_top_p": 0.8, "min_eos_p": 0.05,
        "max_duration_s": 0.4, "allow_early_stop": False, "coarse_temperature": 0.4, "coarse_top_k": 8,
        "coarse_top_p": 0.7, "fine_temperature": 0.3,
    }  # fmt: skip
    assert {name: heard[0][name] for name in wanted} == wanted
    assert len(heard[0]["made"].semantic) == 20


def test_prompt_file_with_a_separator(
    bark: Any, heard: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffFirst text.\r\n---\r\nSecond one.\r\n---\r\n\r\n".encode())
    done = bark(
        "--prompt_file", str(file), "--prompt_file_separator", "---", "--split_by_words", "9"
    )
    assert done.code == 0 and len(done.out) == 2
    assert [call["text"] for call in heard] == ["First text.", "Second one."]
    heard.clear()
    file.write_bytes(b"One\r\nline.\r\n\r\nTwo.\n")
    assert (
        bark(
            "--prompt_file", str(file), "--prompt_file_separator", "\\n\\n", "--split_by_words", "9"
        ).code
        == 0
    )
    assert [call["text"] for call in heard] == ["One line.", "Two."]


@pytest.mark.parametrize("flag", ["--text", "--prompt_file"])
def test_dash_reads_standard_input(
    bark: Any, heard: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Grüße.".encode("utf-16"))))
    assert bark(flag, "-", "--split_by_words", "9").code == 0
    assert heard[0]["text"] == "Grüße."


def test_plans_need_no_weights(bark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bark, "from_pretrained", None)
    done = bark("--text", WORDS, "--split_by_words", "4", "--text_splits_only")
    assert done.code == 0 and [line.split(" s  ")[1] for line in done.out] == [
        "One two three four",
        "five six.",
    ]
    done = bark(
        "--text", "Hello there. And here is some more of it.", "--dry_run", "--iterations", "2"
    )
    assert done.code == 0 and "2 takes of" in done.out[0] and "anchored" in done.out[0]
    assert "best of" not in done.out[0]
    assert (
        "1 part, each the best of 4, about"
        in bark("--text", "Hi.", "--dry_run", "--best_of", "4").out[0]
    )
    (tmp_path / "two.txt").write_text("First text.---Second text.")
    flags = [
        "--prompt_file",
        str(tmp_path / "two.txt"),
        "--prompt_file_separator",
        "---",
        "--seed",
        "7",
    ]
    done = bark(*flags, "--dry_run")
    assert done.out[0].endswith("-7") and done.out[2].endswith(f"-{seed_of(7, 1)}")
    done = bark(*flags, "--text_splits_only", "--iterations", "2")
    assert done.code == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("show", [(), ("--dry_run",), ("--text_splits_only",)])
@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("First text.---[voice:nobody] Second text.", (), "nobody"),
        ("Hello. [voice:/etc/passwd.npz] Hi.", (), "names a voice, not a path"),
        ("Hello. [voice:/nowhere/a.npz] Hi.", ("--allow_paths",), "no file"),
        ("Hello.", ("--history_prompt", "nobody"), "nobody"),
        ("Hello.", ("--history_prompt", "nowhere.npz"), "no file nowhere.npz"),
        ("ANA: Hello.", ("--voices", "ANA=nobody"), "nobody"),
    ],
)
def test_an_unknown_voice_is_found_before_the_first_take(
    bark: Any,
    heard: list[dict[str, Any]],
    tmp_path: Path,
    show: Any,
    text: str,
    flags: Any,
    message: str,
) -> None:
    (tmp_path / "two.txt").write_text(text)
    file = str(tmp_path / "two.txt")
    done = bark("--prompt_file", file, "--prompt_file_separator", "---", *flags, *show)
    assert done.code == 2 and message in done.err[0] and not heard and not done.out


def test_dialogue(bark: Any, loaded: Bark, heard: list[dict[str, Any]], tmp_path: Path) -> None:
    voices = {
        name: a_voice(loaded, tmp_path / f"{name}.npz", seed)
        for seed, name in enumerate(("ana", "bo", "cy"))
    }
    own = tmp_path / "own voices"
    own.mkdir()
    voices["cy"].rename(own / "cy.npz")
    heard.clear()
    text = "ANA: Hello.\nBO: Hi.\nANA: Bye. [voice:cy] Me too."
    done = bark("--text", text, "--voices", f"ANA={voices['ana']},BO={voices['bo']}", "--split_by_words", "3",
                "--stable_mode")  # fmt: skip
    assert done.code == 0 and done.out[0].split("-")[-2] == "dialogue"
    assert [call["text"] for call in heard] == ["Hello.", "Hi.", "Bye.", "Me too."]
    digest = {
        name: Voice.load(path, loaded.layout).digest
        for name, path in {**voices, "cy": own / "cy.npz"}.items()
    }
    assert [call["history"].digest for call in heard] == [
        digest[name] for name in ("ana", "bo", "ana", "cy")
    ]
    (record,) = records(tmp_path / "out")
    assert set(record["voices"]) == {"ANA", "BO", "cy"}
    # whoever wrote a text names voices in it; files only where the one who typed the command says so
    mark = ("--text", f"[voice:{os.path.relpath(voices['ana'])}] Hello.", "--filename", "m.wav")
    refused = bark(*mark)
    assert refused.code == 2 and "names a voice, not a path" in refused.err[0]
    assert not (tmp_path / "out" / "m.wav").exists()
    assert bark(*mark, "--allow_paths").code == 0
    kept = json.loads((tmp_path / "out" / "m.json").read_text())["voices"]
    assert [voice["reference"] for voice in kept.values()] == [str(voices["ana"].resolve())]


# ---- replay and regenerate --------------------------------------------------------------------------------


def test_replay_gives_identical_tokens(bark: Any, loaded: Bark, tmp_path: Path) -> None:
    voice = a_voice(loaded, tmp_path / "me.npz")
    flags = ["--history_prompt", str(voice), "--split_by_words", "2", "--text_temp", "0.9"]
    assert bark("--text", WORDS, *flags, "--filename", "a.wav").code == 0
    take = tmp_path / "out" / "a.json"
    done = bark()  # settles capsys
    assert (
        main(
            [
                "replay",
                str(take),
                "--output_dir",
                str(tmp_path / "again"),
                "--output_format",
                "flac",
            ]
        )
        == 0
    )
    assert digests(read_record(tmp_path / "again" / "a.json")) == digests(read_record(take))
    assert (tmp_path / "again" / "a.flac").exists() and done.code == 0
    a_voice(loaded, voice, seed=9)
    assert main(["replay", str(take)]) == 2


def test_replay_explains_what_is_missing(
    bark: Any, loaded: Bark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voice = a_voice(loaded, tmp_path / "me.npz")
    bark("--text", "Hi.", "--history_prompt", str(voice), "--filename", "a.wav")
    take = tmp_path / "out" / "a.json"

    def fails_with(message: str, code: int = 2) -> None:
        capsys.readouterr()
        assert main(["replay", str(take)]) == code
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1

    a_voice(loaded, voice, seed=9)
    fails_with("is not the voice of the take")
    voice.unlink()
    fails_with("me.npz")
    record = json.loads(take.read_text())
    for name in ("text", "mode", "seed", "silence", "crossfade", "candidates"):
        take.write_text(json.dumps(record | {name: None}))
        fails_with(f"a.json: {name}: got null", 1)
    del record["parts"]
    take.write_text(json.dumps(record))
    fails_with("is damaged: KeyError 'parts'", 1)
    (tmp_path / "file").write_text("")
    assert main(["replay", str(take), "--output_dir", str(tmp_path / "file")]) == 1
    assert "Errno" not in capsys.readouterr().err
    assert main(["replay"]) == 2 and main(["replay", "x", "--regenerate", "0"]) == 2


def test_single_parts_are_drawn_anew(bark: Any, tmp_path: Path) -> None:
    flags = ["--text", WORDS, "--split_by_words", "2", "--stable_mode", "--filename", "a.wav"]
    assert bark(*flags).code == 0
    first = digests(read_record(tmp_path / "out" / "a.json"))
    assert bark(*flags, "--regenerate", "3").code == 0
    second = digests(read_record(tmp_path / "out" / "a_2.json"))
    assert second[:2] == first[:2] and second[2] != first[2]
    assert bark(*flags, "--regenerate", "3").code == 0  # of the newest take
    third = digests(read_record(tmp_path / "out" / "a_3.json"))
    assert third[:2] == first[:2] and third[2] not in (first[2], second[2])
    assert main(["replay", str(tmp_path / "out" / "a_3.json")]) == 0
    assert digests(read_record(tmp_path / "out" / "a_4.json")) == third
    done = bark("--text", "Another text.", "--regenerate", "1")
    assert done.code == 2 and "no take of this very command" in done.err[0]
    assert bark(*flags, "--regenerate", "4").code == 2


def test_a_part_that_says_nothing_is_drawn_again(
    bark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its seed is settled, so without this the same command would stop there for ever."""
    generate, silent = Bark.generate, {part_seed(5, 2)}

    def sometimes_silent(self: Bark, text: str, *args: Any, seed: int, **rest: Any) -> Any:
        if seed in silent:
            raise SilentError("nothing was spoken")
        return generate(self, text, *args, seed=seed, **rest)

    monkeypatch.setattr(Bark, "generate", sometimes_silent)
    flags = ["--text", WORDS, "--split_by_words", "2", "--seed", "5", "--filename", "a.wav"]
    assert bark(*flags).code == 0
    second = read_record(tmp_path / "out" / "a.json")["parts"][1]
    assert second["seed"] == part_seed(part_seed(5, 2), 0, 1) and second["take"] == 0
    assert main(["replay", str(tmp_path / "out" / "a.json")]) == 0
    silent |= {part_seed(part_seed(5, 2), 0, 1)}
    silent |= {part_seed(number, 0, 2) for number in list(silent)}
    silent |= {part_seed(number, 0, 3) for number in list(silent)}
    silent |= {part_seed(number, 0, 4) for number in list(silent)}
    done = bark(*flags)
    assert done.code == 1 and "nothing was spoken" in done.err[0]  # not for ever


# ---- interruption -----------------------------------------------------------------------------------------


class Stopper:
    """Stops the process politely before the part of this number, from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, how: int) -> None:
        self.left, generate = number, Bark.generate

        def stopping(bark: Bark, *args: Any, **rest: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), how)
            return generate(bark, *args, **rest)

        monkeypatch.setattr(Bark, "generate", stopping)


def test_the_best_of_several_takes_is_kept_and_replayed(
    bark: Any, loaded: Bark, tmp_path: Path
) -> None:
    skip_without_judges()
    voice = a_voice(loaded, tmp_path / "me.npz")
    flags = [
        "--text",
        WORDS,
        "--split_by_words",
        "2",
        "--stable_mode",
        "--seed",
        "5",
        "--history_prompt",
        voice,
    ]
    assert bark(*map(str, flags), "--filename", "one.wav").code == 0
    assert bark(*map(str, flags), "--filename", "best.wav", "--best_of", "3").code == 0
    one, best = (read_record(tmp_path / "out" / f"{name}.json") for name in ("one", "best"))
    assert (one["candidates"], best["candidates"]) == (1, 3) and "score" not in one["parts"][0]
    judge = TakeJudge(loaded)
    for part, alone in zip(best["parts"], one["parts"], strict=True):
        kept, first = (
            loaded.generate(part["text"], str(voice), seed=one["seed"], **best["settings"])
            for one in (part, alone)
        )
        assert kept.tokens.digest == part["tokens_sha256"]  # batch equals single
        scores = judge(part["text"], Voice.load(voice), [kept.audio, first.audio])
        assert scores[0] == pytest.approx(part["score"], abs=1e-4) and scores[0] >= scores[1]
    assert digests(one) != digests(best)
    path = tmp_path / "out" / "best.json"
    assert main(["replay", str(path)]) == 0
    assert digests(read_record(tmp_path / "out" / "best_2.json")) == digests(best)
    path.write_text(json.dumps(best | {"candidates": 0}))
    assert main(["replay", str(path)]) == 1


def test_a_choice_without_its_judges_is_one_line(
    bark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    done = bark("--text", WORDS, "--split_by_words", "2", "--best_of", "2")
    assert (
        done.code == 2
        and "webrtcvad is not installed" in done.err[-1]
        and "pip install" in done.err[-1]
    )
    assert not list((tmp_path / "out").iterdir())  # no run that would be gone on with


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_book_goes_on_with_identical_results(
    bark: Any,
    heard: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flags = ["--text", WORDS, "--split_by_words", "2", "--seed", "5"]
    with monkeypatch.context() as patch:
        Stopper(patch, 3, how)
        done = bark(*flags)
    assert done.code == 130 and done.out == []
    assert done.err == [
        "bark: interrupted. 2 of 3 parts are kept: give the same command again to go on."
    ]
    assert not list((tmp_path / "out").glob("*.wav"))
    heard.clear()
    assert (
        bark(*flags).code == 0
        and "going on where an earlier run of this command stopped" in caplog.text
    )
    assert len(heard) == 1  # only the third part
    assert not list((tmp_path / "out").glob(".*"))
    assert bark(*flags, "--output_dir", str(tmp_path / "straight")).code == 0
    assert digests(*records(tmp_path / "out")) == digests(*records(tmp_path / "straight"))
    assert file_hash(*(tmp_path / "out").glob("*.wav")) == file_hash(
        *(tmp_path / "straight").glob("*.wav")
    )


def test_interrupted_takes_go_on_with_the_seed_that_was_drawn(
    bark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--text", "Hi.", "--iterations", "3"]
    with monkeypatch.context() as patch:
        Stopper(patch, 2, signal.SIGINT)
        done = bark(*flags)
    assert done.code == 130 and len(done.out) == 1 and "1 of 3 parts are kept" in done.err[0]
    done = bark(*flags)
    assert done.code == 0 and len(done.out) == 2 and len(records(tmp_path / "out")) == 3
    assert (
        bark(*flags).code == 0 and len(records(tmp_path / "out")) == 6
    )  # a new run, not a finished one


def test_a_killed_process_goes_on(tiny_bark: Path, tmp_path: Path, bark: Any) -> None:
    flags = ["--text", WORDS, "--split_by_words", "2", "--seed", "5"]
    program = (
        "import os, sys\nfrom bark import Bark\nfrom booth.cli import main\ngenerate, calls = Bark.generate, []\n"
        "def killing(*args, **rest):\n    calls.append(1)\n    if len(calls) == 3: os.kill(os.getpid(), 9)\n"
        "    return generate(*args, **rest)\nBark.generate = killing\nmain(sys.argv[1:])\n"
    )
    words = ["--model", str(tiny_bark), "--output_dir", str(tmp_path / "out"), *flags]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=ROOT, check=False, capture_output=True
    )
    assert done.returncode == -9
    left = sorted(path.suffix for path in (tmp_path / "out").iterdir())
    assert left == [".journal", ".lock", ".lock", ".run"]
    assert bark(*flags).code == 0
    assert bark(*flags, "--output_dir", str(tmp_path / "straight")).code == 0
    assert digests(*records(tmp_path / "out")) == digests(*records(tmp_path / "straight"))


# ---- cloning while speaking ---------------------------------------------------------------------------------


@pytest.fixture
def cloned(loaded: Bark, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """A cloner that needs no HuBERT; the recordings it was given."""
    import hubert.clone

    recordings: list[Path] = []

    def clone(recording: Path, consent: str) -> hubert.clone.Clone:
        recordings.append(recording)
        voice = loaded.generate("A recorded person.", seed=len(recordings)).voice
        info = {"consent": consent, SOURCE_HASH: file_hash(recording), "model": loaded.name}
        made = Voice(voice.semantic, voice.coarse, voice.fine, info)
        return hubert.clone.Clone(made, None, (Finding("noisy", "it hums"),))  # type: ignore[arg-type]

    monkeypatch.setattr(
        hubert.clone.Cloner, "from_pretrained", lambda model: SimpleNamespace(clone=clone)
    )
    monkeypatch.setattr(hubert.clone, "excerpt", lambda recording: recording)
    yield recordings


@pytest.mark.parametrize("flag", ["--audio_file_as_history_prompt", "--speaker_wav"])
def test_a_recording_is_cloned_once_with_consent(
    bark: Any,
    loaded: Bark,
    cloned: list[Path],
    heard: list[dict[str, Any]],
    tmp_path: Path,
    flag: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recording = tmp_path / "My Voice.wav"
    soundfile.write(recording, np.full(2_400, 0.1), 24_000)
    done = bark("--text", "Hi.", flag, str(recording))
    assert done.code == 2 and cloned == []
    assert "nobody said whose this is. Add --consent self" in done.err[0] and len(done.err) == 1
    for _ in range(2):
        done = bark(
            "--text", "Hi.", flag, str(recording), "--consent", "self", "--filename", "a.wav"
        )
        assert done.code == 0
    assert cloned == [recording] and "My Voice.wav: noisy: it hums" in caplog.text
    voice = Voice.load(tmp_path / "out" / "my-voice.npz", loaded.layout)
    assert heard[-1]["history"].digest == voice.digest and voice.info["consent"] == "self"
    take = Voice.load(tmp_path / "out" / "a.npz", loaded.layout)
    assert take.info["consent"] == "self"  # what a clone says is still that person's voice
    assert main(["replay", str(tmp_path / "out" / "a.json")]) == 0


def test_coquis_folder_from_the_command_line(
    bark: Any, cloned: list[Path], heard: list[dict[str, Any]], tmp_path: Path
) -> None:
    place = tmp_path / "bark_voices" / "LJ Speech"
    place.mkdir(parents=True)
    (place / "speaker.wav").write_bytes(b"sound")
    flags = [
        "--text",
        "Hi.",
        "--voice_dir",
        str(place.parent),
        "--out_path",
        "o.wav",
        "--progress_bar",
        "False",
    ]
    assert bark(*flags, "--speaker_idx", "LJ Speech").code == 2  # no consent, and nobody to ask
    for _ in range(2):
        done = bark(*flags, "--speaker", "LJ Speech", "--consent", "licensed:public domain")
        assert done.code == 0
    assert len(cloned) == 1 and (place / "speaker.npz").exists()
    assert heard[-1]["history"] is not None
    assert bark(*flags, "--speaker", "random").code == 0 and heard[-1]["history"] is None
    assert bark(*flags, "--history_prompt", str(place / "speaker.npz")).code == 0
    assert heard[-1]["history"] is not None  # a voice that was named is never passed over
    assert bark(*flags, "--speaker", "../x").code == 2


def test_preview(
    tiny_bark: Path, loaded: Bark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_voice(loaded, tmp_path / "own voices" / "ana.npz")
    words = [
        "voices",
        "preview",
        "ana",
        "--model",
        str(tiny_bark),
        "--output_dir",
        str(tmp_path / "p"),
        "--seed",
        "1",
    ]
    assert main([*words, "--text", "Hi."]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "p" / "hi-ana-1.wav")


def test_a_preview_speaks_with_the_model_that_the_voice_was_made_for(
    tiny_bark: Path, loaded: Bark, tmp_path: Path
) -> None:
    made = loaded.generate("Hi.", seed=1).voice
    path = replace(made, info={"model": str(tiny_bark)}).save(tmp_path / "ana.npz")
    assert (
        main(["voices", "preview", str(path), "--output_dir", str(tmp_path / "p"), "--seed", "1"])
        == 0
    )
    assert list((tmp_path / "p").glob("*.wav"))


def test_coquis_folders_name_the_clip(
    bark: Any, loaded: Bark, tmp_path: Path, heard: list[dict[str, Any]]
) -> None:
    loaded.generate("Hi.", seed=1).voice.save(tmp_path / "voices" / "ana" / "speaker.npz")
    flags = [
        "--text",
        "Hi.",
        "--voice_dir",
        str(tmp_path / "voices"),
        "--speaker",
        "ana",
        "--seed",
        "0",
    ]
    assert bark(*flags).out == [str(tmp_path / "out" / "hi-ana-0.wav")]
    assert (
        str(tmp_path / "out" / "hi-ana-0") in bark(*flags, "--dry_run").out[0]
    )  # told before as it is after


# ---- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", ""], "nothing in the text can be spoken"),
        (["--text", " \u200b\n"], "nothing in the text can be spoken"),
        (["--text", "\u200b", "--split_by_words", "2"], "nothing in the text can be spoken"),
        (["--text", "Hi.", "--history_prompt", "nobody"], "no voice is named 'nobody'"),
        (["--text", "Hi.", "--history_prompt", "absent.npz"], "absent.npz"),
        (["--text", "Hi.", "--voices", "ANA=absent.npz"], "absent.npz"),
        (["--prompt_file", "absent.txt"], "there is no file absent.txt"),
        (["--text", "Hi.", "--device", "abacus"], "device: got 'abacus'"),
        (["--text", "Hi.", "--speaker", "nobody"], "no voice is named 'nobody'"),
        (["--text", "Hi.", "--voice_dir", "absent", "--speaker", "ana"], "no voice is named 'ana'"),
        (
            ["--text", "Hi.", "--speaker_wav", "absent.wav", "--consent", "self"],
            "no file absent.wav",
        ),
        (["--text", "Hi.", "--regenerate", "9"], "no take of this very command"),
        (
            ["--prompt_file", "latin.txt"],
            "latin.txt is not UTF-8: got byte 0xfc at 2. Save it as UTF-8",
        ),
        (["--prompt_file", "empty.txt"], "empty.txt holds no text"),
        (
            ["--prompt_file", "two.txt", "--prompt_file_separator", "|", "--filename", "-"],
            "is for one take",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_2(
    bark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("latin.txt").write_bytes("Grüße".encode("latin-1"))
    Path("empty.txt").write_text(" \n")
    Path("two.txt").write_text("One. | Two.")
    done = bark(*words)
    assert done.code == 2 and done.out == [] and len(done.err) == 1
    assert done.err[0].startswith("bark: ") and message in done.err[0]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompt_file", "."], "cannot read ."),
        (["--output_dir", "/dev/null/out"], "cannot write to"),
    ],
)
def test_what_the_computer_refuses_is_one_line_and_code_1(
    bark: Any, words: list[str], message: str
) -> None:
    done = bark(*words)
    assert done.code == 1 and done.out == [] and len(done.err) == 1 and message in done.err[0]


@pytest.mark.parametrize(("name", "code"), [("no/such-model", 1), ("lagre", 2)])
def test_a_model_that_is_not_there(bark: Any, name: str, code: int) -> None:
    done = bark("--text", "Hi.", model=name)
    assert done.code == code and len(done.err) == 1 and name in done.err[0]


@pytest.mark.parametrize("word", ["help", "Hello there.", "clonee"])
def test_a_first_word_that_is_no_command(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    shown = capsys.readouterr().err
    known = "check, clone, convert, convert-voice, drift, replay, serve, voices"
    assert shown == f"bark: got {word!r}; allowed: a flag, or one of {known}. See bark --help\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["--version"]) == 0 and capsys.readouterr().out == f"bark-voice-booth {__version__}\n"
    )


def test_help_is_quick_and_loads_no_torch() -> None:
    program = "import sys\nfrom booth.cli import main\ncode = main(['--help'])\nassert 'torch' not in sys.modules\n"
    program += "sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0 and "--history_prompt" in done.stdout


@pytest.mark.parametrize(
    "command", ["check", "clone", "convert", "convert-voice", "replay", "voices"]
)
def test_commands_explain_themselves(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage:")


def test_a_lost_end_is_a_failure_unless_it_is_allowed(
    bark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bark("--text", WORDS).code == 0
    monkeypatch.setattr(LongTake, "unfinished", (1,))
    done = bark("--text", WORDS)
    assert done.code == 1 and done.out  # it is kept all the same
    assert "the end of part 1 may be missing" in done.err[-1] and "--allow_cut" in done.err[-1]
    assert bark("--text", WORDS, "--allow_cut").code == 0
