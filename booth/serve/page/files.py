"""``/`` and ``/static``: the page and what it loads, from the package, and nothing else."""

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "samples" / "reference.flac"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".flac": "audio/flac",
}
FILES = {path.name: path for path in HERE.iterdir() if path.suffix in TYPES} | {
    "sample.flac": SAMPLE
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a new version is seen at once
}


@router.get("/")
async def page() -> FileResponse:
    """Return the page."""
    return answer("index.html")


@router.get("/static/{name}")
async def static(name: str) -> FileResponse:
    """Return a file of the page; names are looked up, so that no path leads elsewhere."""
    if name not in FILES:
        raise HTTPException(404)
    return answer(name)


def answer(name: str) -> FileResponse:
    """Return one of `FILES` with its type and the page's policy."""
    path = FILES[name]
    return FileResponse(path, media_type=TYPES[path.suffix], headers=HEADERS)
