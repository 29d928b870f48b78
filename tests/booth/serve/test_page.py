"""The page in a real browser, against a real server on nano."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

pytest.importorskip("playwright", reason="needs playwright: .[dev]")

from playwright.sync_api import Browser, Download, Locator, Page, expect

from bark import Bark, Voice
from bark.audio.write import AI_TAG
from booth.jobs import worker
from tests.booth.serve.browser import SAMPLE, browsing
from tests.booth.serve.conftest import running

ROOMS = ("clone", "speak", "long")
TEXT = "Good morning to all of you."
STORY = "There was a fox once.\nclara: It was red.\nbruno: And it was hungry.\n"
STILL = 2.0  # s, for which progress may stand still
TICK = 0.2  # s
TOUCH = 44  # px, of what a finger is to meet
FIELDS = ":is(input[type=text], input[type=number], select, textarea):visible"
WAIT = 120_000  # ms; the machine may be busy

expect.set_options(timeout=WAIT)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose microphone hears the bundled clip."""
    speech = tmp_path_factory.mktemp("microphone") / "speech.wav"
    soundfile.write(speech, *soundfile.read(SAMPLE))
    with browsing(f"--use-file-for-fake-audio-capture={speech}") as started:
        yield started


@pytest.fixture(scope="module")
def address(
    browser: Browser, nano: Bark, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    with running(nano, voices=folder / "voices", jobs=folder / "jobs") as (url, _):
        yield f"{url}/"


@pytest.fixture
def faults() -> list[str]:
    """What the console complained of; a test takes out what it meant to happen."""
    return []


@pytest.fixture
def page(browser: Browser, address: str, faults: list[str]) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert faults == []


def enter(page: Page, room: str) -> None:
    page.get_by_role(
        "link", name={"clone": "Clone", "speak": "Speak", "long": "Long text"}[room]
    ).click()
    expect(page.locator(f"#room-{room}")).to_be_visible()


def never_stands_still(page: Page, place: str, until: Locator) -> None:
    """Watch a text until something else shows, and see that it never stood still for long.

    Time is counted in ticks of the page itself, which stands still, too, where the machine is busy.
    """
    page.evaluate(
        """([place, tick]) => {
            const element = document.querySelector(place);
            let [text, same] = [element.textContent, 0];
            window.longest = 0;
            setInterval(() => {
                same = element.textContent === text ? same + 1 : 0;
                text = element.textContent;
                window.longest = Math.max(window.longest, same);
            }, tick);
        }""",
        [place, 1000 * TICK],
    )
    expect(until).to_be_visible()
    assert page.evaluate("window.longest") * TICK < STILL


def saved(download: Download, folder: Path) -> Path:
    path = folder / download.suggested_filename
    download.save_as(path)
    return path


def test_a_voice_is_cloned_heard_renamed_exported_and_deleted(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#file", SAMPLE)
    expect(page.locator("#verdict-title")).to_have_text("Good to clone")
    start, end = page.locator("#edge-start"), page.locator("#edge-end")
    before = float(end.get_attribute("aria-valuenow") or 0)
    box = end.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 20)
    page.mouse.move(box["x"] + 80, box["y"] + 20)
    with page.expect_response("**/v1/audio/check") as checked:
        page.mouse.up()
    assert float(end.get_attribute("aria-valuenow") or 0) > before + 0.3
    report = checked.value.json()
    assert report["window"]["end"] == pytest.approx(
        float(end.get_attribute("aria-valuenow") or 0), abs=0.1
    )
    with page.expect_response("**/v1/audio/check"):
        start.press("ArrowRight")
    assert start.get_attribute("aria-valuenow") == "0.10"

    page.fill("#clone-name", "robin")
    page.click("#clone-go")
    expect(page.locator("#consent-fault")).to_contain_text("whose voice")
    expect(page.locator("#cloned")).to_be_hidden()
    page.get_by_label("Someone else’s, and I have their permission or a licence.").check()
    page.click("#clone-go")
    expect(page.get_by_label("Who gave it, and where is it written?")).to_be_focused()
    page.get_by_label("Nobody’s: a machine made it.").check()
    expect(page.locator("#consent-fault")).to_be_hidden()
    page.click("#clone-go")
    never_stands_still(page, "#clone-work", page.locator("#cloned"))
    expect(page.locator("#cloned-name")).to_have_text("robin")
    page.get_by_role("button", name="Listen to it").click()
    expect(page.locator("#cloned-listen.on")).to_be_visible()
    expect(page.locator("#cloned-fault")).to_be_hidden()

    row = page.locator("#voices-own .voice", has_text="robin")
    row.locator(".play").click()
    expect(row.locator(".play.on")).to_be_visible()
    row.locator(".voice-name").click()
    expect(row.locator(".facts")).to_contain_text("synthetic")
    row.get_by_role("button", name="Rename").click()
    row.get_by_label("New name").fill("robin two")
    row.get_by_label("New name").press("Enter")
    expect(row.locator(".voice-name")).to_have_text("robin two")
    row.locator(".voice-name").click()
    with page.expect_download() as exported:
        row.get_by_role("button", name="Export").click()
    voice = Voice.load(saved(exported.value, tmp_path))
    assert voice.info["consent"] == "synthetic"
    row.get_by_role("button", name="Delete").click()
    page.keyboard.press("Enter")  # what is not read deletes nothing
    expect(page.get_by_role("dialog")).to_be_hidden()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_what_is_no_recording_is_told_where_it_was_given(
    page: Page, faults: list[str], tmp_path: Path
) -> None:
    wrong = tmp_path / "letter.wav"
    wrong.write_text("Dear Sir")
    page.set_input_files("#file", wrong)
    told = page.locator("#file-fault")
    expect(told).to_be_visible()
    assert "letter.wav" in told.inner_text() and "Traceback" not in told.inner_text()
    expect(page.locator("#drop")).to_be_visible()
    assert "400" in faults.pop()


def test_a_voice_is_recorded_and_cloned_by_a_spoken_consent(page: Page) -> None:
    page.get_by_role("button", name="Record now").click()
    expect(page.locator("#record-time")).to_have_text(re.compile(r"^[3-9]"))
    page.get_by_role("button", name="Stop and use it").click()
    expect(page.locator("#clip-name")).to_have_text("recording.wav")
    expect(page.locator("#verdict")).to_have_attribute("data-verdict", re.compile("good|usable"))
    page.get_by_label("Someone else’s, and I have a recording in which they agree.").check()
    page.set_input_files("#agreement", SAMPLE)
    page.fill("#clone-name", "spoken")
    page.click("#clone-go")
    expect(page.locator("#cloned-name")).to_have_text("spoken")
    page.locator("#voices-own .voice-name", has_text="spoken").click()
    expect(page.locator("#voices-own .facts:visible")).to_contain_text("recorded:")


def test_speech_is_heard_before_its_end_and_kept_as_a_voice(page: Page, tmp_path: Path) -> None:
    enter(page, "speak")
    page.click("#speak-go")
    expect(page.locator("#take")).to_be_visible()
    text = " ".join([TEXT] * 4)  # not spoken before the page has told once how far it is
    page.fill("#speak-text", text)
    page.locator("#speak-stop").click()
    expect(page.locator("#take")).to_be_hidden()

    page.locator("#speak-text").press("Control+Enter")
    never_stands_still(page, "#take-work", page.locator("#take[data-state=streaming]"))
    expect(page.locator("#take-work")).to_contain_text("so far")
    told = page.locator("#take-work").text_content() or ""
    early = float(re.search(r"([\d.]+) s so far", told)[1])  # type: ignore[index]
    expect(page.locator("#speak-stop")).to_be_visible()  # the end has not come
    assert early > 0
    expect(page.locator("#take-play.on")).to_be_visible()
    expect(page.locator("#take[data-state=done]")).to_be_visible()
    played, whole = re.match(r"([\d.]+) s of ([\d.]+) s", page.inner_text("#take-facts")).groups()  # type: ignore[union-attr]
    assert float(whole) > early and float(played) > 0

    takes = page.locator("#takes li")
    expect(takes).to_have_count(1)
    with page.expect_download() as wav:
        page.get_by_role("button", name="Download wav").click()
    with page.expect_download() as mp3:
        page.get_by_role("button", name="Download mp3").click()
    for download in (wav, mp3):
        with soundfile.SoundFile(saved(download.value, tmp_path)) as file:
            assert file.frames / file.samplerate == pytest.approx(float(whole), abs=0.2)
            assert file.format == "MP3" or file.comment.startswith(AI_TAG)

    page.get_by_role("button", name="Keep this take as the voice").click()
    page.get_by_label("Name of the new voice").fill("alba again")
    page.get_by_label("Name of the new voice").press("Enter")
    expect(page.locator("#voices-own")).to_contain_text("alba again")
    expect(page.locator("#speak-voice")).to_have_value("alba again")

    page.reload()
    expect(takes).to_have_count(1)
    takes.get_by_role("button", name="Open").click()
    expect(page.locator("#speak-text")).to_have_value(text)
    assert page.input_value("#seed") in takes.inner_text()


def test_a_long_text_is_paused_goes_on_and_is_mended(
    page: Page, nano: Bark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second part is held in its second stage until the server knows of the pause."""
    turns, speak = threading.Semaphore(1), nano.coarse.generate_batch

    def in_turn(*given: Any, **options: Any) -> Any:
        turns.acquire(timeout=WAIT / 1000)
        return speak(*given, **options)

    monkeypatch.setattr(nano.coarse, "generate_batch", in_turn)
    monkeypatch.setattr(worker, "TELL", 0)  # a quick part, too, is seen at work
    enter(page, "long")
    text = tmp_path / "story.txt"
    text.write_text(STORY)
    page.set_input_files("#long-file", text)
    expect(page.locator("#long-text")).to_have_value(STORY)
    page.click("#long-go")
    parts = page.locator("#parts li")
    expect(parts.first).to_be_visible()
    count = 3
    expect(parts).to_have_count(count)
    expect(page.locator("#parts li[data-state=running]")).to_be_visible()
    with page.expect_response(re.compile("/pause$")):
        page.get_by_role("button", name="Pause", exact=True).click()
    turns.release(1_000)
    expect(page.locator("#job-facts")).to_contain_text("Paused")
    assert page.locator("#parts li[data-state=done]").count() < count
    page.get_by_role("button", name="Go on").click()
    never_stands_still(page, "#job-facts", page.locator("#job [data-format=mp3]"))
    expect(page.locator("#parts li[data-state=done]")).to_have_count(count)
    expect(parts.last).to_contain_text("bruno · done")

    second = parts.nth(1)
    second.get_by_role("button", name="Redo part 2").click()
    expect(second).to_contain_text(re.compile("clara · done · .* · take 2"))
    expect(page.locator("#job [data-format=mp3]")).to_be_visible()
    second.locator(".play").click()
    expect(second.locator(".play.on")).to_be_visible()
    with page.expect_download() as mp3:
        page.locator("#job").get_by_role("button", name="Download mp3").click()
    assert soundfile.info(saved(mp3.value, tmp_path)).duration > 1
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#job-list li")).to_have_count(1)
    page.locator("#job-list").get_by_role("button", name="Open").click()
    page.locator("#job-delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#job-list li")).to_have_count(0)


def test_a_server_with_a_key_is_asked_once(page: Page, faults: list[str]) -> None:
    def locked(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer secret":
            route.continue_()
        else:
            route.fulfill(status=401, body=json.dumps({"error": {"message": "wrong key"}}))

    page.route("**/v1/**", locked)
    page.reload()
    page.get_by_label("Key", exact=True).fill("secret")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#voices-ready li").first).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert all("401" in fault for fault in faults)
    faults.clear()


def test_a_text_that_is_too_long_is_told_at_its_field(page: Page, faults: list[str]) -> None:
    enter(page, "speak")
    page.fill("#speak-text", "very " * 1000)
    page.click("#speak-go")
    expect(page.locator("#speak-text-fault")).to_contain_text("4096")
    expect(page.locator("#speak-text")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#take")).to_be_hidden()
    page.locator("#speak-text").press("End")
    page.keyboard.type(".")
    expect(page.locator("#speak-text-fault")).to_be_hidden()
    assert "413" in faults.pop()


def test_a_loudness_that_cannot_be_is_told_at_its_field(page: Page, faults: list[str]) -> None:
    for room, field in (("speak", "loudness"), ("long", "long-loudness")):
        enter(page, room)
        more = page.locator(f"details:has(#{field}) > summary")
        more.click()
        page.fill(f"#{field}", "5")
        more.click()  # the fault opens it
        page.fill(f"#{room}-text", "One.")
        page.click(f"#{room}-go")
        expect(page.locator(f"#{field}-fault")).to_be_visible()
        expect(page.locator(f"#{field}-fault")).to_contain_text("allowed: -60 to 0 LUFS")
        assert "400" in faults.pop()


def test_a_full_queue_is_told_where_it_was_met(page: Page, faults: list[str]) -> None:
    error = {
        "message": "32 requests wait.",
        "type": "rate_limit_error",
        "param": None,
        "code": None,
    }
    page.route(
        "**/v1/audio/speech",
        lambda route: route.fulfill(status=429, body=json.dumps({"error": error})),
    )
    enter(page, "speak")
    page.click("#speak-go")
    expect(page.locator("#take-fault")).to_contain_text("32 requests wait.")
    expect(page.locator("#take-fault").get_by_role("button", name="Try again")).to_be_visible()
    assert "429" in faults.pop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_room_is_accessible_and_fits_a_phone(page: Page, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: .[dev]")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#voices-ready li").first).to_be_visible()
    page.set_input_files("#file", SAMPLE)
    expect(page.locator("#verdict-title")).to_be_visible()
    page.click("#clone-go")  # a fault is shown as well
    for room in ROOMS:
        enter(page, room)
        for more in page.locator("details:not([open]) > summary:visible").all():
            more.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for field in page.locator(FIELDS).all():
            assert field.evaluate("element => element.offsetHeight") >= TOUCH, field
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_the_keyboard_reaches_the_rooms(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#speak-title")).to_be_focused()
    assert "Speak" in page.title()
