"""The command line's flags: every neighbour's spelling works, and every bad value is one line and code 2."""

import pytest

from bark.settings import OPTIONS
from booth.cli.flags import FLAGS as ALL
from booth.cli.flags import GROUPS
from booth.cli.options import build_parser, parse_options, request_of
from booth.speak.request import SpeakRequest

FLAGS = {flag.name: flag for flag in ALL}
GOOD = {
    "text": "Hello.", "prompt_file": "a.txt", "prompt_file_separator": "---", "prompt_text_prefix": "♪",
    "prompt_text_suffix": "♪", "history_prompt": "v2/en_speaker_6", "audio_file_as_history_prompt": "me.wav",
    "voice_dir": "bark_voices", "speaker": "ljspeech", "voices": "ANA=a.npz,BO=b.npz",
    "consent": "licensed:LJ Speech is public domain", "model": "nano", "device": "cpu", "decoder": "vocos", "dtype": "float32",
    "seed": "7", "semantic_temperature": "0.6", "semantic_top_k": "50", "semantic_top_p": "0.9",
    "min_eos_p": "0.05", "max_duration_s": "8.5", "coarse_temperature": "0", "coarse_top_k": "1",
    "coarse_anchor": "450", "max_coarse_history": "300", "sliding_window_len": "60",
    "coarse_top_p": "1", "fine_temperature": "0.5", "split_by_words": "35", "split_by_lines": "2",
    "split_character_goal_length": "110", "split_character_max_length": "175", "long_mode": "reanchor=3",
    "stable_mode_interval": "0", "add_silence_between_segments": "0.25", "regenerate": "7,3",
    "crossfade_between_segments": "0.1",
    "output_filename": "out.wav", "output_dir": "out", "output_format": "flac", "iterations": "3",
    "best_of": "4", "drift": "repair", "loudness": "-16", "postprocess": "rvc=me.pth,loudness=-16",
}  # fmt: skip
BAD = {
    "consent": "yes", "dtype": "int4", "seed": "-1", "semantic_temperature": "hot", "semantic_top_k": "0",
    "semantic_top_p": "1.5", "min_eos_p": "-0.1", "max_duration_s": "0",
    "coarse_temperature": "nan", "coarse_top_k": "1.5", "coarse_top_p": "2", "fine_temperature": "inf", "max_coarse_history": "0", "sliding_window_len": "x",
    "coarse_anchor": "-1",
    "split_by_words": "-3", "split_by_lines": "many", "split_character_goal_length": "9",
    "split_character_max_length": "x", "long_mode": "reanchor=0", "stable_mode_interval": "-1",
    "add_silence_between_segments": "61", "regenerate": "0,3", "crossfade_between_segments": "-1", "voices": "ANA", "output_format": "mp4",
    "iterations": "0", "best_of": "1.5", "drift": "undo", "loudness": "3", "postprocess": "=-16",
}  # fmt: skip
ALIASES = [(name, other) for name, meta in FLAGS.items() for other in meta.others]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line with which `words` are refused."""
    with pytest.raises(SystemExit) as stop:
        parse_options(words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("bark: ")
    return error


@pytest.mark.parametrize("name", [name for name, meta in FLAGS.items() if meta.kind.name])
def test_every_flag_takes_its_value_and_refuses_a_bad_one(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--prompt_file", "a.txt"] if name == "prompt_file_separator" else []
    assert getattr(parse_options([f"--{name}", GOOD[name], *extra]), name) not in (
        None,
        FLAGS[name],
    )
    assert f"--{name}" in refused([f"--{name}"], capsys)  # no value at all
    bad = BAD.get(name, "")
    if name not in (
        "text",
        "prompt_text_prefix",
        "prompt_text_suffix",
    ):  # any text will do for these
        line = refused([f"--{name}", bad], capsys)
        assert f"--{name}" in line and ": got" in line and "allowed: " in line


@pytest.mark.parametrize("name", [name for name, meta in FLAGS.items() if not meta.kind.name])
def test_booleans_stand_alone_or_say_what_they_are(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert getattr(parse_options([f"--{name}"]), name) is True
    assert getattr(parse_options([f"--{name}", "True"]), name) is True
    assert getattr(parse_options([f"--{name}", "False"]), name) is False
    assert getattr(parse_options([f"--{name}=false"]), name) is False
    assert f"--{name}: got 'maybe'; allowed: True or False" in refused(
        [f"--{name}", "maybe"], capsys
    )


@pytest.mark.parametrize(("name", "other"), ALIASES)
def test_other_names_mean_the_same_and_stay_out_of_the_help(name: str, other: str) -> None:
    words = [] if FLAGS[name].kind.name is None else [GOOD[name]]
    assert parse_options([f"--{other}", *words]) == parse_options([f"--{name}", *words])
    assert f"--{other} " not in build_parser().format_help()


def test_words_may_be_joined_by_hyphens() -> None:
    options = parse_options(
        ["--text-prompt", "a", "--history-prompt=x.npz", "--semantic-top-k", "5"]
    )
    assert (options.text, options.history_prompt, options.semantic_top_k) == ("a", "x.npz", 5)


def test_sunos_command_line() -> None:
    words = "--text Hello. --history_prompt announcer --output_filename a.wav --output_dir out --text_temp 0.6"
    words += " --waveform_temp 0.5 --silent False --output_full True"
    options = parse_options(words.split())
    assert options.silent is False and options.output_full is True
    request = request_of(options)
    assert request.settings == {"semantic_temperature": 0.6, "coarse_temperature": 0.5}
    assert (str(request.folder), request.name, request.format) == ("out", "a", "wav")


def test_bark_infinitys_first_command_line() -> None:
    words = "--text_prompt Hi. --history_prompt en_speaker_3 --text_temp 0.7 --waveform_temp 0.7 --filename a.wav"
    words += " --output_dir bark_samples --use_smaller_models --iterations 2 --split_by_words 35"
    words += " --stable_mode --confused_travolta_mode"
    request = request_of(parse_options(words.split()))
    assert request.model == "small" and request.iterations == 2
    assert request.settings["allow_early_stop"] is False
    parse_options(
        ["--prompt_file", "a.txt", "--prompt_file_separator", "\n\n", "--split_by_lines", "4"]
    )


def test_coquis_command_line() -> None:
    words = "--model_name tts_models/multilingual/multi-dataset/bark --text Hi --out_path o.wav"
    words += " --voice_dir bark_voices/ --speaker_idx ljspeech --progress_bar True"
    options = parse_options(words.split())
    request = request_of(options)
    assert request.model == "large" and request.speaker == "ljspeech" and options.progress_bar


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ("", "anchored"),
        ("--split_by_words 35", "chained"),
        ("--split_by_lines 2", "chained"),
        ("--split_by_words 35 --stable_mode", "anchored"),
        ("--split_by_words 35 --stable_mode_interval 1", "anchored"),
        ("--stable_mode_interval 0", "chained"),
        ("--stable_mode --stable_mode_interval 3", "reanchor=3"),
        ("--long_mode chained", "chained"),
    ],
)
def test_parts_follow_each_other_as_bark_infinity_says(words: str, mode: str) -> None:
    assert request_of(parse_options(["--text", "a", *words.split()])).mode == mode


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--text a --prompt_file b", "--text and --prompt_file contradict each other"),
        (
            "--split_by_words 3 --split_by_lines 3",
            "--split_by_words and --split_by_lines contradict",
        ),
        ("--history_prompt a --speaker_wav b.wav", "--history_prompt and --speaker_wav contradict"),
        ("--model nano --use_smaller_models", "--model and --use_smaller_models contradict"),
        ("--prompt_file_separator x", "--prompt_file_separator needs --prompt_file"),
        (
            "--output_filename a.wav --output_format mp3",
            "ends in .wav but --output_format says mp3",
        ),
        ("--out_path - --iterations 2", "--output_filename - and --iterations contradict"),
        (
            "--split_character_goal_length 90 --split_character_max_length 80",
            "got 90; allowed: up to",
        ),
        ("--no_such_flag", "unrecognized arguments: --no_such_flag"),
        ("--text_tem 0.5", "unrecognized arguments: --text_tem"),
        ("hello", "unrecognized arguments: hello"),
    ],
)
def test_contradictions_and_unknown_words(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(words.split(), capsys)


def test_help_is_grouped_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_options(["--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(f"\n{group}:\n" in shown for group in GROUPS)
    assert all(f"--{name} " in shown for name in FLAGS)


def test_every_setting_is_a_flag_and_reaches_the_request() -> None:
    for option in OPTIONS:
        for name in (option.name, *option.others):
            words = [
                "--text",
                "a",
                f"--{name}",
                "False" if option.kind.name is None else GOOD[option.name],
            ]
            assert list(request_of(parse_options(words)).settings) == [option.name]
    assert request_of(parse_options(["--text", "a"])).settings == {}


def test_a_short_flag_and_both_spellings_name_the_output() -> None:
    for words in (
        "-o x/a.flac",
        "--output x/a.flac",
        "--output-dir x --filename a.flac",
        "--output_dir x -o a.flac",
    ):
        request = request_of(parse_options(["--text", "a", *words.split()]))
        assert (str(request.folder), request.name, request.format) == ("x", "a", "flac")
    assert request_of(parse_options(["--text", "a", "-o", "-"])).kept is False


def test_a_request_needs_no_command_line() -> None:
    assert SpeakRequest(("a",)) == request_of(parse_options(["--text", "a"]))
