"""What the page is made of: plain files from the package, nothing from elsewhere."""

import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("fastapi", reason="needs the server: .[serve]")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from booth.serve.page.files import FILES, HERE, router

OWN = {"index.html", "style.css", "app.js", "icon.svg"}


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    app.include_router(router)
    return TestClient(app, base_url="http://127.0.0.1")


class Names(HTMLParser):
    """What an HTML file loads, its handlers in attributes, and the text of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag loads and what it runs."""
        for name, value in attrs:
            if name in ("src", "href") and not (value or "").startswith("#"):
                self.loaded.append(value or "")
            if name.startswith("on") or name == "style":
                self.inline.append(f"{tag} {name}")
            if name == "id":
                self.ids.append(value or "")
        if tag == "style" or (tag == "script" and "src" not in dict(attrs)):
            self.inline.append(tag)


def test_the_page_loads_its_own_files_alone() -> None:
    found = Names()
    found.feed((HERE / "index.html").read_text(encoding="utf-8"))
    assert found.inline == []
    assert found.loaded and all(name.removeprefix("static/") in FILES for name in found.loaded)
    assert len(found.ids) == len(set(found.ids))
    assert OWN <= FILES.keys()


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.endswith((".js", ".css"))))
def test_scripts_and_style_name_nothing_elsewhere(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    elsewhere = re.findall(r"https?://[^\"'\s)]+", text)
    assert [address for address in elsewhere if "www.w3.org" not in address] == []
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert len(text.splitlines()) <= 400
    html = (HERE / "index.html").read_text(encoding="utf-8")
    for used in re.findall(r"\$\(\"([\w-]+)\"\)|made\(\"([\w-]+)\"\)", text):
        assert f'id="{"".join(used)}"' in html, used


@pytest.mark.parametrize("name", ["", *(f"static/{name}" for name in sorted(FILES))])
def test_files_come_with_their_type_and_a_policy(client: TestClient, name: str) -> None:
    answer = client.get(f"/{name}")
    assert answer.status_code == 200 and answer.content
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    kind = answer.headers["content-type"]
    assert ("text/javascript" in kind) == name.endswith(".js")


@pytest.mark.parametrize(
    "name", ["files.py", "__init__.py", "..%2ffiles.py", "%2e%2e/app.py", "a/b", "", "%00"]
)
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404
