"""What the tests of takes and voices need: the judges, where they are installed."""

import pytest

from bark.errors import MissingFileError
from hubert.speaker_weights import find_weights


def skip_without_judges() -> None:
    """Skip the test unless words and likeness can be judged here."""
    for extra in ("pocketsphinx", "webrtcvad"):
        pytest.importorskip(extra, reason="the extra [judge] is not installed")
    try:
        find_weights()
    except MissingFileError as error:
        pytest.skip(str(error))
