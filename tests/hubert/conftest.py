"""What nano says, spoken once for all the tests that judge it."""

import numpy as np
import pytest

from bark import Bark

SAID = "seven two nine four one"


@pytest.fixture(scope="session")
def takes(nano: Bark) -> list[np.ndarray]:
    """`SAID` in two voices, alba's and bruno's."""
    spoken = nano.generate_batch([SAID, SAID], ["alba", "bruno"], seeds=[1, 1])
    return [take.audio for take in spoken]
