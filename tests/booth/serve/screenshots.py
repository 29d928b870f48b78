"""Pictures of the page's rooms, light and dark, into docs/page: ``make screenshots``."""

import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from bark import Bark
from tests.booth.serve.browser import SAMPLE, browsing
from tests.booth.serve.conftest import running
from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "page"
SIZE = {"width": 1200, "height": 900}
COLORS = 256  # of a page with one accent none is missed
WAIT = 120_000  # ms
TEXT = "Good morning. This is a voice made from a few seconds of speech."
STORY = (
    "The fox had walked all night. At dawn it came to a garden with a high wall. Behind the wall "
    "hung grapes, blue and heavy. It jumped once, and it jumped twice. Then it sat down and "
    "looked at them for a long time. They are sour, it said, and went on its way."
)


def main() -> None:
    """Start a server and a browser, and keep what the rooms look like."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    bark = Bark.from_pretrained("nano", device="cpu")
    with browsing() as browser, tempfile.TemporaryDirectory() as home:
        kept = {"voices": Path(home, "voices"), "jobs": Path(home, "jobs")}
        with running(bark, **kept) as (url, _):
            walk(browser, url)


def walk(browser: Any, url: str) -> None:
    """Open the page once for each scheme."""
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport=SIZE, color_scheme=scheme)
        page.set_default_timeout(WAIT)
        page.goto(url)
        clone(page, "robin")
        keep(page, f"clone-{scheme}")
        speak(page)
        keep(page, f"speak-{scheme}")
        speak_long(page)
        keep(page, f"long-{scheme}")
        page.close()


def clone(page: Any, name: str) -> None:
    """Examine the bundled clip and clone it, then show the room as it was before."""
    for _ in range(2):
        page.set_input_files("#file", SAMPLE)
        page.wait_for_selector("#verdict-title")
        page.get_by_label("Nobody’s: a machine made it.").check()
        page.fill("#clone-name", name)
        if page.locator("#voices-own li").count():
            return
        page.click("#clone-go")
        page.wait_for_selector("#cloned")
        page.click("#cloned-another")


def speak(page: Any) -> None:
    """Speak twice, and stop in the middle of the second take."""
    page.click("nav a[href='#speak']")
    for text in (STORY[:75], TEXT):
        page.fill("#speak-text", text)
        page.click("#speak-go")
        page.wait_for_selector("#take[data-state=done]")
    page.locator("#take-wave").click(position={"x": 260, "y": 40})


def speak_long(page: Any) -> None:
    """Begin a long text, and stop where half of it is spoken."""
    page.click("nav a[href='#long']")
    page.fill("#long-text", STORY)
    page.click("#long-go")
    page.wait_for_selector("#parts li[data-state=done] >> nth=1")
    page.wait_for_selector("#parts li[data-state=running]")


def keep(page: Any, name: str) -> None:
    """Save what is seen as a small PNG."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    small = picture.quantize(COLORS, dither=Image.Dither.NONE)
    small.save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
