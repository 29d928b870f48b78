"""``/v1/audio/voice_consents``: recordings in which speakers agree to be cloned.

They lie beside the voices, in ``consents``. A voice that is cloned with one keeps its name and
hash, as with ``--consent recorded:FILE`` of the command line."""

import hashlib
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Form, Request, UploadFile
from pydantic import BaseModel, Field

from bark.audio.read import open_audio
from bark.errors import SettingError, StorageError
from bark.storage.atomic import atomic_write, atomic_write_text
from bark.storage.json import encode, read_as
from hubert.consent import Consent as Statement
from hubert.consent import require_consent

from .context import Context, context_of
from .errors import ApiError
from .uploads import harmless

router = APIRouter()
Label = Annotated[str, Form(min_length=1, max_length=200)]


class NewLabel(BaseModel):
    """What a consent is to be called."""

    name: Annotated[str, Field(min_length=1, max_length=200)]


class Consent(msgspec.Struct):
    """One recorded consent."""

    id: str
    created_at: int
    name: str
    language: str
    file: str  # as the client called it
    sha256: str

    @property
    def statement(self) -> Statement:
        """What a voice keeps of it; the hash is that of the recording which came here."""
        return Statement(f"recorded:{self.file} sha256:{self.sha256}")

    @property
    def described(self) -> dict[str, Any]:
        """What OpenAI's client reads."""
        kept = {name: getattr(self, name) for name in ("id", "created_at", "name", "language")}
        return {"object": "audio.voice_consent", **kept}


def statement_of(given: str | None, context: Context) -> Statement:
    """Return what a voice keeps of a consent: an id from here, or a statement like those of
    ``--consent``. Without one it is the error of the command line.
    """
    if given is not None and given.startswith("cons_"):
        return _found(given, context).statement
    if given is not None and given.partition(":")[0].strip() == "recorded":
        raise ApiError(
            400,
            "consent: a recorded one is sent to /v1/audio/voice_consents, and its id given here",
            param="consent",
        )
    try:
        return require_consent(given or None)
    except SettingError as error:
        raise ApiError(400, str(error), param="consent") from error


@router.post("/v1/audio/voice_consents")
async def create_consent(
    request: Request, name: Label, language: Label, recording: UploadFile
) -> dict[str, Any]:
    """Keep a recording of consent."""
    context = context_of(request)
    return await to_thread.run_sync(_create, context, name, language, recording)


@router.get("/v1/audio/voice_consents")
async def list_consents(request: Request) -> dict[str, Any]:
    """List all of them, the newest first."""
    found = await to_thread.run_sync(_all, context_of(request))
    ids = [consent.id for consent in found]
    return {
        "object": "list",
        "data": [consent.described for consent in found],
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": False,
    }


@router.get("/v1/audio/voice_consents/{consent_id}")
async def get_consent(consent_id: str, request: Request) -> dict[str, Any]:
    """Describe one."""
    found = await to_thread.run_sync(_found, consent_id, context_of(request))
    return found.described


@router.post("/v1/audio/voice_consents/{consent_id}")
async def rename_consent(consent_id: str, asked: NewLabel, request: Request) -> dict[str, Any]:
    """Give one another label."""
    context = context_of(request)
    found = await to_thread.run_sync(_found, consent_id, context)
    found.name = asked.name
    await to_thread.run_sync(_write, found, context)
    return found.described


@router.delete("/v1/audio/voice_consents/{consent_id}")
async def delete_consent(consent_id: str, request: Request) -> dict[str, Any]:
    """Delete one; voices that were cloned with it keep its hash."""
    context = context_of(request)
    found = await to_thread.run_sync(_found, consent_id, context)

    def delete() -> None:
        for path in (_note(found.id, context), _sound(found.id, context)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError("cannot delete the consent", error.strerror) from error

    await to_thread.run_sync(delete)
    return {"id": found.id, "object": "audio.voice_consent", "deleted": True}


def _create(context: Context, name: str, language: str, recording: UploadFile) -> dict[str, Any]:
    consent = Consent(
        f"cons_{secrets.token_hex(12)}", int(time.time()), name, language,
        harmless(recording.filename), "",
    )  # fmt: skip
    final = _sound(consent.id, context)
    with atomic_write(final) as temporary:
        with temporary.open("wb") as file:
            shutil.copyfileobj(recording.file, file)
        _check_sound(temporary, consent.file)
        with temporary.open("rb") as file:
            consent.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    _write(consent, context)
    return consent.described


def _check_sound(path: Path, name: str) -> None:
    from bark.errors import AudioError

    try:
        open_audio(path, isolated=True)
    except AudioError as error:
        raise ApiError(400, str(error).replace(str(path), name), param="recording") from error


def _all(context: Context) -> list[Consent]:
    folder = _folder(context)
    notes = sorted(folder.glob("cons_*.json")) if folder.is_dir() else []
    found = [read_as(note, Consent) for note in notes]
    return sorted(found, key=lambda consent: consent.created_at, reverse=True)


def _found(consent_id: str, context: Context) -> Consent:
    known = re.fullmatch(r"cons_[0-9a-f]{24}", consent_id) is not None
    if not known or not (note := _note(consent_id, context)).is_file():
        raise ApiError(
            404,
            f"there is no consent {consent_id[:40]!r}",
            param="consent",
            code="consent_not_found",
        )
    return read_as(note, Consent)


def _write(consent: Consent, context: Context) -> None:
    atomic_write_text(_note(consent.id, context), encode(msgspec.to_builtins(consent)))


def _folder(context: Context) -> Path:
    return context.library.home / "consents"


def _note(consent_id: str, context: Context) -> Path:
    return _folder(context) / f"{consent_id}.json"


def _sound(consent_id: str, context: Context) -> Path:
    return _folder(context) / f"{consent_id}.audio"
