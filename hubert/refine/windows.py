"""Clones every window of a recording that is worth it, so that the best can be found by ear."""

from functools import partial

from hubert.clone import Clone, Cloner, Recording
from hubert.reference.doctor import listen
from hubert.reference.source import open_source
from hubert.reference.window import choose_windows

from .scores import LISTENED


def clone_windows(
    cloner: Cloner,
    recording: Recording,
    *,
    start: float | None = None,
    end: float | None = None,
    consent: str | None = None,
    clean: bool = False,
    denoiser: str | None = None,
) -> list[Clone]:
    """Clone the window that `Cloner.clone` takes, and up to two others that are fit.

    With a start or an end there is that window alone. Others lie in the first two minutes, with
    which takes are compared.

    Raises
    ------
    AudioError : the recording cannot be cloned.
    """
    source = open_source(recording)
    source = source.held() if source.duration <= LISTENED else source
    clone = partial(cloner.clone, source, consent=consent, clean=clean, denoiser=denoiser)
    first = clone(start=start, end=end)
    if start is not None or end is not None:
        return [first]
    heard = listen(source)
    others = [
        clone(start=window.start, end=window.end)
        for window in choose_windows(heard.frames, heard.speech)
        if window.end <= LISTENED and abs(window.end - first.report.end) > 0.1
    ]
    return [first, *(each for each in others if each.report.verdict != "unfit")]
