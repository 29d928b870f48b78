"""Downloads from a model hub: the only place that touches the network.

Downloads go through huggingface_hub into its cache: a broken connection goes on where it stopped,
the files are shared with other programs, and never is half a file at the final name. What is cached
is used without asking the network, unless its size is no longer the one it was fetched with
(`fetched`). The environment (HF_HOME, HF_HUB_CACHE, XDG_CACHE_HOME,
HF_HUB_OFFLINE, HF_ENDPOINT) is read at each call."""

import errno
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bark.errors import CheckpointError, MissingFileError, MissingModelError, StorageError

from .fetched import Fetched, damage, note
from .files import expand

logger = logging.getLogger(__name__)

HUB_ID = r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w.-]+)?"  # owner/name, or owner/name@revision
_STORAGE_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM}
_UNREACHABLE = "the hub cannot be reached"

# The commits that a repository's name alone means: the hub's newest as several public projects
# record them. Of other repositories the newest files are taken.
REVISIONS = {
    "suno/bark": "70a8a7d34168586dc5d028fa9666aceade177992",
    "facebook/encodec_24khz": "c1dbe2ae3f1de713481a3b3e7c47f357092ee040",
    "facebook/hubert-base-ls960": "dba3bb02fda4248b6e082697eee756de8fe8aa8a",
    "bert-base-multilingual-cased": "3f076fdb1ab68d5b2880cb87a0886f315b8146f8",
    "google-bert/bert-base-multilingual-cased": "3f076fdb1ab68d5b2880cb87a0886f315b8146f8",
}

Wanted = tuple[str, str]  # repository, or repository@revision, and a file of it


def fetch(repo: str, file: str) -> Path:
    """Return a file of a hub repository, downloaded if it is not cached.

    Raises
    ------
    MissingFileError If it is not cached and cannot be had; it says why, where it was looked for and
        how to fetch it. StorageError If the cache cannot be written."""
    return fetch_all([(repo, file)])[0]


def fetch_all(
    wanted: Sequence[Wanted], looked: Iterable[Path] = (), later: Iterable[Wanted] = ()
) -> list[Path]:
    """Return several files; all that cannot be had are listed in one error.

    Parameters
    ----------
    wanted : pairs of repository and file.
    looked : other places where the caller has looked already, for the message.
    later : files that will be wanted next; if there is an error, it lists those that are missing
        too."""
    found: list[Path] = []
    missing: list[Wanted] = []
    reasons: list[str] = []
    made: list[Fetched] = []
    for repo, file in wanted:
        path = cached(repo, file)
        if (
            path is None and not offline() and _UNREACHABLE not in reasons
        ):  # each try takes half a minute
            path, reason = _download(repo, file, made)
            if path is None and reason not in reasons:
                reasons.append(reason)
        if path is None:
            missing.append((repo, file))
        else:
            found.append(path)
    _tell(made)
    if missing:
        missing += [file for file in later if file not in missing and cached(*file) is None]
        raise _missing(missing, looked, "; ".join(reasons))
    return found


def fetch_first(repo: str, files: Sequence[str]) -> Path:
    """Return the first of several alternative files that the repository has."""
    for file in files:
        path = cached(repo, file)
        if path is not None:
            return path
    reason = ""
    made: list[Fetched] = []
    for file in files if not offline() else ():
        path, reason = _download(repo, file, made)
        if path is not None:
            _tell(made)
            return path
        if reason == _UNREACHABLE:
            break
    raise _missing([(repo, files[0])], (), reason)


def fetch_optional(repo: str, file: str) -> Path | None:
    """Return a file, or None where the repository has none or cannot be reached."""
    path = cached(repo, file)
    if path is not None or offline():
        return path
    made: list[Fetched] = []
    path = _download(repo, file, made)[0]
    _tell(made)
    return path


def cached(repo: str, file: str) -> Path | None:
    """Return a file from the hub's cache, or None if it is not there or of another size than it
    was fetched with; never touches the network.
    """
    path = _found(repo, file)
    if path is not None and (fault := damage(_record(), _named(repo)[0], file, path)):
        logger.warning("%s is damaged: %s", path, fault)
        return None
    return path


def _found(repo: str, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    name, revision = _named(repo)
    # where none was named, what another program fetched is as good
    for at in (revision,) if "@" in repo else dict.fromkeys((revision, None)):
        try:
            path = try_to_load_from_cache(name, file, cache_dir=cache_folder(), revision=at)
        except ValueError as error:  # huggingface_hub checks how a repository may be called
            raise MissingFileError(
                f"{repo!r} is no folder here and cannot be a hub id", fix=str(error)
            ) from None
        if isinstance(path, str):
            return Path(path)
    return None


def _named(repo: str) -> tuple[str, str | None]:
    """Return a repository and its revision, if none is named the pinned one; None is the newest."""
    name, _, revision = repo.partition("@")
    return name, revision or REVISIONS.get(name)


def cache_folder() -> Path:
    """Return the hub's cache folder, as huggingface_hub chooses it."""
    if "HF_HUB_CACHE" in os.environ:
        return expand(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME")
    return (expand(home) if home else user_cache() / "huggingface") / "hub"


def user_cache() -> Path:
    """Return XDG_CACHE_HOME, or ``~/.cache``."""
    return expand(os.environ.get("XDG_CACHE_HOME") or "~/.cache")


def _record() -> Path:
    """Return the file that says what was fetched; nothing is kept where there is no home folder."""
    try:
        return user_cache() / "bark-voice-booth" / "downloads.jsonl"
    except MissingFileError:
        return Path(os.devnull)


def offline() -> bool:
    """Tell whether the environment forbids the network."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(
        os.environ.get(name, "").strip().lower() in ("1", "on", "yes", "true") for name in names
    )


def _tell(made: Sequence[Fetched]) -> None:
    """Say on one line for each repository what was fetched."""
    for repo, revision in dict.fromkeys((one.repo, one.revision) for one in made):
        own = [one for one in made if (one.repo, one.revision) == (repo, revision)]
        megabytes = sum(one.bytes for one in own) / 1e6
        names = ", ".join(one.file for one in own)
        logger.warning("fetched %s@%s: %s (%.1f MB)", repo, revision, names, megabytes)


def _download(repo: str, file: str, made: list[Fetched]) -> tuple[Path | None, str]:
    """Download one file, and add it to `made`; return its path, or None and the reason."""
    from huggingface_hub import hf_hub_download

    folder = cache_folder()
    logger.warning("fetching %s of %s", file, repo)
    try:
        endpoint = os.environ.get("HF_ENDPOINT") or None
        with _without_retry_notes():
            name, revision = _named(repo)
            path = Path(
                hf_hub_download(
                    name,
                    file,
                    cache_dir=folder,
                    endpoint=endpoint,
                    revision=revision,
                    force_download=_found(repo, file) is not None,  # a damaged one
                )
            )
        made.append(note(_record(), name, file, path))
        return path, ""
    except CheckpointError as error:
        return None, f"{error}; it was removed"
    except Exception as error:  # the client's errors have no common base
        if isinstance(error, OSError) and error.errno in _STORAGE_FAULTS:
            raise StorageError(
                f"cannot write {folder}",
                error.strerror,
                fix="Free some space, or set HF_HOME to another folder",
            ) from error
        return None, _reason(error, repo)


@contextmanager
def _without_retry_notes() -> Iterator[None]:
    """Keep the client from telling each of its tries: what came of them is told once,
    at the end.
    """
    client = logging.getLogger("huggingface_hub")
    before = client.level
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        client.setLevel(before)


def _reason(error: Exception, repo: str) -> str:
    """Say in a few words why a download failed; the client's own text is long and full of links."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{repo} asks for a login: hf auth login"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has no {repo}, or it is private"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return _UNREACHABLE
    if isinstance(error, errors.EntryNotFoundError):
        return f"{repo} has no such file"
    return f"the download failed ({type(error).__name__})"


def _missing(missing: Sequence[Wanted], looked: Iterable[Path], reason: str) -> MissingModelError:
    by_repo: dict[str, list[str]] = {}
    for repo, file in missing:
        by_repo.setdefault(repo, []).append(file)
    names = "; ".join(f"{repo}: {', '.join(files)}" for repo, files in by_repo.items())
    places = ", ".join(str(place) for place in [*dict.fromkeys(looked), cache_folder()])
    commands = " && ".join(
        f"hf download {repo.replace('@', ' --revision ')} {' '.join(files)}"
        for repo, files in by_repo.items()
    )
    why = reason or "the network is off: HF_HUB_OFFLINE"
    return MissingModelError(
        f"missing files of {names}; looked in {places}; {why}",
        fix=f"The model nano needs no download; where there is a network, run: {commands}",
    )
