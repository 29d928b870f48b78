"""Hostile HTTP requests as the bytes of a connection, drawn from a seeded generator."""

import functools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np

from tests.fuzz.audio import mutated, valid_files

MARK = "bark-stray"  # in the name of every file that must never be made
BOUNDARY = "frontier"
TRICKS = (
    f"../{MARK}", f"../../../{MARK}", f"..\\..\\{MARK}", f"/tmp/{MARK}", f"/{MARK}.npz", "..", ".",
    "", " ", f"{MARK}\0.npz", "\0", "a/b", f"~/{MARK}", "~root", "con", "nul.npz", "x" * 300,
    "x" * 5000, "%2e%2e%2f" + MARK, "é" * 60, "\u202ealba", "alba\r\nX-Evil: 1", "alba\n", "-rf",
    ".hidden", "alba.npz", "random", "\ud800", "v2/en_speaker_6", "v2/../../x", "$(touch x)",
    "`id`", "{0}", "%s%n", "<script>", "' OR 1=1 --", "CON.npz", "a" * 64, "a" * 65, ".locks",
    "0" * 32, "f" * 32, "..%c0%af", f"file:///tmp/{MARK}", f"http://127.0.0.1/{MARK}", "|ls",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, -1e-308, 10**9, 2**63, -(2**70), 10**400, float("nan"), float("inf"),
    "", "é" * 300, "\n", "\0", [], {}, [[]], [1] * 1000, {"a": {"b": []}}, "alba", 0.5, "1", "NaN",
    {"id": None}, {"id": "../x"}, {"id": {"id": "alba"}}, ["alba"], "\U0001f600" * 50, "x" * 3000,
    "ANA: one", "[voice:../../x.npz] one", "[voice:bruno] one", "[" * 500, "one. " * 30, "\ud800",
)  # fmt: skip
METHODS = (
    b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT",
    b"PROPFIND", b"get", b"G\xc3\xa9T", b"X" * 300,
)  # fmt: skip
PATHS = (
    "/", "/health", "/ready", "/metrics", "/v1/models", "/v1/models/nano", "/v1/audio/models",
    "/v1/audio/voices", "/v1/audio/voices/{}", "/v1/audio/voices/{}/preview",
    "/v1/audio/voices/{}/file", "/v1/audio/voices/from_take", "/v1/audio/voice_consents",
    "/v1/audio/voice_consents/{}", "/v1/audio/check", "/v1/audio/speech", "/v1/audio/speech/long",
    "/v1/audio/speech/long/{}", "/v1/audio/speech/long/{}/events",
    "/v1/audio/speech/long/{}/audio", "/v1/audio/speech/long/{}/parts/1/audio",
    "/v1/audio/speech/long/{}/parts/{}/redo", "/v1/audio/speech/long/{}/pause", "/static/{}",
    "/static/app.js", "/{}", "/docs", "/openapi.json",
)  # fmt: skip
SPEECH: dict[str, Any] = {
    "model": "nano", "input": "one", "voice": "alba", "response_format": "pcm", "speed": 1.0,
    "seed": 1, "best_of": 1, "latency": "exact", "temperature": 0.7, "stream_format": "audio",
    "instructions": "softly", "lossy": False,
}  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "/v1/audio/speech": SPEECH,
    "/v1/audio/speech/long": {**SPEECH, "voices": {"ANA": "alba"}},
    "/v1/audio/voices/from_take": {**SPEECH, "name": "taken"},
    "/v1/audio/speech/long/" + "0" * 32 + "/parts/1/redo": {"seed": 3},
}
FORMS: dict[str, dict[str, Any]] = {
    "/v1/audio/voices": {
        "name": "ana", "audio_sample": b"", "consent": "self",
        "language": "en", "start": "0", "end": "3",
    },
    "/v1/audio/check": {"recording": b"", "start": "0"},
    "/v1/audio/voice_consents": {"name": "ana", "language": "en", "recording": b""},
    "/v1/audio/speech/long": {"file": b"one", "voices": '{"ANA": "alba"}', "seed": "1"},
}  # fmt: skip
ENCODINGS = ("utf-8", "utf-16", "utf-32", "latin-1", "utf-7", "cp1252")


@dataclass(frozen=True)
class Sent:
    """One request as it goes over the wire."""

    kind: str
    method: bytes
    target: bytes
    body: bytes = b""
    content_type: bytes | None = None
    headers: Sequence[bytes] = ()  # more lines
    cuts: Sequence[float] = ()  # seconds to wait between pieces of the body
    length: bytes | None = None  # what Content-Length says, where it is not the body's
    leaves: float | None = None  # seconds after which the client is gone
    broken: bool = False  # no HTTP: it need not be answered
    raw: bytes | None = field(default=None, repr=False)

    @property
    def pieces(self) -> list[bytes | float]:
        """What is written, and the seconds that are waited."""
        if self.raw is not None:
            return [self.raw]
        lines = [b"%s %s HTTP/1.1" % (self.method, self.target)]
        if not any(line.lower().startswith(b"host:") for line in self.headers):
            lines.append(b"Host: 127.0.0.1")
        lines.append(b"Connection: close")
        lines += [] if self.content_type is None else [b"Content-Type: " + self.content_type]
        length = b"%d" % len(self.body) if self.length is None else self.length
        lines += [b"Content-Length: " + length] if length else []
        head = b"\r\n".join([*lines, *self.headers]) + b"\r\n\r\n"
        if not self.cuts:
            return [head + self.body]
        size = max(1, -(-len(self.body) // (len(self.cuts) + 1)))
        written: list[bytes | float] = [head]
        for number in range(len(self.cuts) + 1):
            written.append(self.body[number * size : (number + 1) * size])
            written += self.cuts[number : number + 1]
        return written

    def __str__(self) -> str:
        return f"{self.kind} {self.method[:20]!r} {self.target[:80]!r} {self.body[:120]!r}"


def request_of(draw: random.Random) -> Sent:
    """Draw one request."""
    way = draw.choices(WAYS, [weight for _, weight in WEIGHTED])[0]
    return way(draw)


# ---- one function for each kind of hostility -----------------------------------------------------


def _shapes(draw: random.Random) -> Sent:
    """JSON with a value of another kind, without one, or with one too many."""
    target, good = draw.choice(list(BODIES.items()))
    value = json.loads(json.dumps(good))
    for _ in range(draw.choice((1, 1, 2, 4))):
        key = draw.choice([*value, "extra"])
        if draw.random() < 0.2:
            value.pop(key, None)
        else:
            value[key] = draw.choice(VALUES if draw.random() < 0.7 else TRICKS)
    body = _json(value)
    if draw.random() < 0.1:
        body = body[: draw.randrange(len(body))]
    return Sent("shapes", b"POST", target.encode(), body, b"application/json")


def _sizes(draw: random.Random) -> Sent:
    """Bodies that are large, deep, or of another length than they say."""
    target = draw.choice([*BODIES, *FORMS]).encode()
    size = draw.choice((0, 1, 10_000, 200_000, (1 << 20) - 10, (1 << 20) + 1, 3 << 20))
    body = draw.choice(
        (b"[" * size, b'{"input":' * (size // 9), b"x" * size, b"\0" * size,
         b'{"input": "' + b"a " * (size // 2) + b'"}', _json({f"k{n}": n for n in range(size // 20)}))
    )  # fmt: skip
    kind = draw.choice((b"application/json", b"text/plain", b"application/octet-stream", None))
    length = draw.choice((None, None, b"-1", b"1e3", b"9" * 30, b"", b"0", b"+5", b" 7"))
    lies = length is not None
    return Sent(
        "sizes", b"POST", target, body, kind, length=length, broken=lies,
        leaves=2.0 if lies else None,
    )  # fmt: skip


def _encoded(draw: random.Random) -> Sent:
    """Text in another encoding than it says, or packed."""
    target, good = draw.choice(list(BODIES.items()))
    encoding = draw.choice(ENCODINGS)
    text = json.dumps({**good, "input": "één twee drie"}, ensure_ascii=False)
    body = text.encode(encoding)
    if draw.random() < 0.3:
        body = bytes(draw.randrange(256) for _ in range(draw.randrange(200)))
    kind = draw.choice(
        (b"application/json", b"application/json; charset=" + encoding.encode(), b"text/json",
         b"application/x-www-form-urlencoded", b"multipart/form-data", b"\xff\xfe", b"a" * 3000)
    )  # fmt: skip
    headers = draw.choice(
        ((), (b"Content-Encoding: gzip",), (b"Accept: " + b"x" * 4000,), (b"Expect: 100-continue",),
         (b"Accept-Encoding: \xff",), (b"Authorization: Bearer \xc3\xa9",), (b"Origin: null",),
         (b"Origin: http://[::1",), (b"Host: [",), (b"Host: evil.example",), (b"Host: ",),
         (b"Cookie: " + b"a=b; " * 1000,), (b"X: y",) * 60, (b"Range: bytes=0-",),
         (b"Last-Event-ID: " + MARK.encode(),))
    )  # fmt: skip
    return Sent("encodings", b"POST", target.encode(), body, kind, headers)


def _paths(draw: random.Random) -> Sent:
    """Path tricks where a name is expected, with any method."""
    target = draw.choice(PATHS)
    while "{}" in target:
        trick = draw.choice(TRICKS).encode("utf-8", "surrogatepass")
        safe = draw.choice(("", "/", "/.~\\"))
        target = target.replace("{}", quote(trick, safe=safe), 1)
    if draw.random() < 0.15:
        target += draw.choice(("?format=exe", "?" + "a=b&" * 500, "?format=%00", "#x", "//", "/.."))
    method = draw.choice(METHODS) if draw.random() < 0.5 else draw.choice(METHODS[:6])
    body = _json(draw.choice(({}, {"seed": 1}, {"name": draw.choice(TRICKS)}, [])))
    odd = method not in METHODS[:10]
    return Sent(
        "paths", method, target.encode(), body, b"application/json", broken=odd or "#" in target,
        leaves=1.0 if target.endswith("/events") else None,
    )  # fmt: skip


def _forms(draw: random.Random) -> Sent:
    """Forms with recordings that are none, names that are paths, and parts that do not end."""
    target, good = draw.choice(list(FORMS.items()))
    values = dict(good)
    for key in [key for key, value in good.items() if value == b""]:
        values[key] = _recording(draw)
    for _ in range(draw.choice((0, 1, 1, 2))):
        key = draw.choice([*values, "extra"])
        if draw.random() < 0.2:
            values.pop(key, None)
        else:
            values[key] = draw.choice((*TRICKS, b"", b"\0" * 100, b"RIFF", b"\xff" * 5000))
    body = _form(draw, values)
    if draw.random() < 0.15:
        body = body[: draw.randrange(len(body))]
    boundary = draw.choice((BOUNDARY,) * 12 + ("", "x", "\xff", "a" * 300)).encode("latin-1")
    kind = b"multipart/form-data; boundary=" + boundary
    return Sent("forms", b"POST", target.encode(), body, kind)


def _slow(draw: random.Random) -> Sent:
    """A body that comes in drops, or stops coming."""
    sent = draw.choice((_shapes, _forms))(draw)
    cuts = tuple(draw.choice((0.01, 0.1, 0.3, 1.5)) for _ in range(draw.choice((1, 2, 4))))
    return Sent(
        "slow", sent.method, sent.target, sent.body[:4000], sent.content_type, cuts=cuts,
        length=draw.choice((None, None, b"%d" % (len(sent.body) + 100))),
        broken=True,  # it may be cut off before it reads the answer
    )  # fmt: skip


def _aborted(draw: random.Random) -> Sent:
    """A client that leaves in the middle of its upload, or of the answer."""
    if draw.random() < 0.5:
        sent = draw.choice((_forms, _shapes))(draw)
        size = draw.randrange(len(sent.body) + 1)
        return Sent(
            "aborted", sent.method, sent.target, sent.body[:size], sent.content_type,
            length=b"%d" % (len(sent.body) + 1), leaves=draw.choice((0.0, 0.05)), broken=True,
        )  # fmt: skip
    value = {**SPEECH, "response_format": draw.choice(("mp3", "wav", "opus")), "input": "one " * 20}
    target = draw.choice(("/v1/audio/speech", "/v1/audio/speech/long"))
    leaves = draw.choice((0.0, 0.02, 0.2, 0.5))
    return Sent(
        "aborted", b"POST", target.encode(), _json(value), b"application/json", leaves=leaves
    )


def _noise(draw: random.Random) -> Sent:
    """What is hardly HTTP."""
    raw = draw.choice(
        (bytes(draw.randrange(256) for _ in range(draw.randrange(1, 400))) + b"\r\n\r\n",
         b"GET / HTTP/9.9\r\n\r\n", b"GET /health\r\n\r\n", b"\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n",
         b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
         b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
         + draw.choice((b"zz\r\n", b"5\r\nab", b"-1\r\n\r\n", b"ffffffffffff\r\n", b"0\r\n\r\n")),
         b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n"
         b"Content-Length: 7\r\n\r\nabcdefg",
         b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 5,
         b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
         b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00")
    )  # fmt: skip
    return Sent("noise", b"", b"", raw=raw, leaves=0.5, broken=True)


WEIGHTED: tuple[tuple[Callable[[random.Random], Sent], float], ...] = (
    (_shapes, 3), (_sizes, 1), (_encoded, 2), (_paths, 5), (_forms, 2), (_slow, 0.5), (_aborted, 1),
    (_noise, 1),
)  # fmt: skip
WAYS = [way for way, _ in WEIGHTED]


def _json(value: Any) -> bytes:
    """Return JSON that may hold what JSON has no place for."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _form(draw: random.Random, values: dict[str, Any]) -> bytes:
    lines = b""
    for name, value in values.items():
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        file = draw.choice(TRICKS) if isinstance(value, bytes) or draw.random() < 0.05 else None
        head = f'Content-Disposition: form-data; name="{name}"'
        head += "" if file is None else f'; filename="{file}"'
        head = head.replace("\r", "").replace("\n", "") if draw.random() < 0.9 else head
        lines += f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode("utf-8", "surrogatepass")
        lines += data + b"\r\n"
    return lines + f"--{BOUNDARY}--\r\n".encode()


def _recording(draw: random.Random) -> bytes:
    files = list(_recordings().values())
    whole = draw.choice(files)
    if draw.random() < 0.3:
        return whole
    return mutated(whole, files, np.random.default_rng(draw.randrange(1 << 32)))


@functools.cache
def _recordings() -> dict[str, bytes]:
    return valid_files()
