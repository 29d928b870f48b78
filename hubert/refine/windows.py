"""Clones every window of a recording that is worth it, so that the best can be found by ear."""

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
) -> list[Clone]:
    """Clone the window that `Cloner.clone` takes, and up to two others that are fit.

    With a start or an end there is that window alone. Others lie in the first two minutes, with
    which takes are compared.

    Raises
    ------
    AudioError : the recording cannot be cloned.
    """
    first = cloner.clone(recording, start=start, end=end, consent=consent)
    if start is not None or end is not None:
        return [first]
    source = open_source(recording)
    heard = listen(source.held() if source.duration <= LISTENED else source)
    others = [
        window
        for window in choose_windows(heard.frames, heard.speech)
        if window.end <= LISTENED and abs(window.end - first.report.end) > 0.1
    ]
    made = [
        cloner.clone(recording, start=window.start, end=window.end, consent=consent)
        for window in others
    ]
    return [first, *(clone for clone in made if clone.report.verdict != "unfit")]
