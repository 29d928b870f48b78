"""Fuzzes whatever is read from disk: mutated files give a value or one of our errors, in bounds."""

import contextlib
import io
import json
import logging
import random
import resource
import struct
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from bark.checkpoints.find import find_model
from bark.checkpoints.formats import load_stage
from bark.errors import BarkError
from bark.longform.journal import Journal
from bark.settings import Settings
from bark.speech import Generation, Part
from bark.storage.weights import read_weights
from bark.text.bert import BertTextTokenizer
from bark.tokens import BARK
from bark.voice.voice import Voice
from booth.takes.runs import open_run
from booth.takes.take import read_record, save_take
from hubert.quantizer.lstm import LSTMQuantizer
from hubert.quantizer.networks import LSTMNetwork, QuantizerSizes
from tests.made_voices import make
from tests.pairs import make_dataset
from tests.suno_files import checkpoint
from tests.tiny import LAYOUT, make_tiny_model
from training.engine.run_folder import load_tensors, read_metrics, save_tensors
from training.finetune.data import Entry, VoiceData
from training.quantizer.dataset import PAIRS, PreparedDataset

from . import Outcome

MOST_SECONDS, MOST_GROWTH = 2.0, 300 << 20  # of one input; bytes of the whole campaign
# Values that have broken readers of JSON before.
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 10**9, 2**63, -(2**70), 10**400, "", "../x", "a\0b", "é" * 300, "\n",
    [], {}, [[]], [1] * 1000, {"a": {"b": []}}, "nano", "~nosuchuser", ["x", 1, None], 0.5,
)  # fmt: skip
RAW = (b"NaN", b"Infinity", b"1e999", b"9" * 5000, b"[" * 3000, b'"\\ud800"', b"\xff", b"{", b"")


@dataclass(frozen=True)
class Target:
    """A file that is mutated, and what reads it."""

    name: str
    path: Path
    read: Callable[[], object]
    good: bytes


def campaign(seed: int, seconds: float) -> Outcome:
    """Mutate every kind of file in turn for so long; the same seed gives the same inputs."""
    outcome, began = Outcome(), time.monotonic()
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory() as folder:
            targets = _targets(Path(folder))
            for target in targets:  # what is imported late is no growth
                target.read()
            before, began = _memory(), time.monotonic()
            while time.monotonic() - began < seconds:
                target = targets[outcome.inputs % len(targets)]
                _try(target, f"{seed}/{outcome.inputs}", outcome)
            outcome.growth = _memory() - before
    finally:
        logging.disable(logging.NOTSET)
    outcome.seconds = time.monotonic() - began
    if outcome.growth > MOST_GROWTH:
        outcome.faults.append(f"memory grew by {outcome.growth >> 20} MiB")
    return outcome


def _try(target: Target, seed: str, outcome: Outcome) -> None:
    target.path.write_bytes(mutated(target.good, random.Random(seed)))
    began = time.process_time()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            target.read()
        result = "read"
    except BarkError as error:
        result, text = type(error).__name__, str(error)
        if "\n" in text or len(text) > 2_000:
            outcome.faults.append(f"{target.name} {seed}: a message of {len(text)} letters")
    except Exception as error:  # noqa: BLE001  what the campaign looks for
        result = type(error).__name__
        outcome.faults.append(f"{target.name} {seed}: {result}: {str(error)[:200]}")
    taken = time.process_time() - began
    outcome.inputs += 1
    outcome.slowest = max(outcome.slowest, taken)
    outcome.kinds[f"{target.name}: {result}"] += 1
    if taken > MOST_SECONDS:
        outcome.faults.append(f"{target.name} {seed}: {taken:.1f} s")
    target.path.write_bytes(target.good)


def mutated(good: bytes, draw: random.Random) -> bytes:
    """Return the bytes changed: as JSON where they are some, as a zip, or anywhere."""
    ways = [_flipped, _cut]
    if good[:1] == b"{":
        ways += [_json_changed] * 4 + [_raw]
    if good[:2] == b"PK":
        ways += [_zip_changed] * 3
    if good[8:9] == b"{":
        ways += [_header_changed] * 3
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        good = draw.choice(ways)(good, draw) or good
    return good


def _flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8, 50))):
        if changed:
            changed[draw.randrange(min(len(changed), draw.choice((200, 1 << 20))))] = (
                draw.randrange(256)
            )
    return bytes(changed)


def _cut(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] if draw.random() < 0.7 else data[:at] + data[draw.randrange(len(data) + 1) :]


def _raw(data: bytes, draw: random.Random) -> bytes:
    """Put what is no JSON in place of a value."""
    places = [at + 1 for at, byte in enumerate(data) if byte in b":[,"]
    at = draw.choice(places or [0])
    return data[:at] + draw.choice(RAW) + data[at + draw.choice((0, 1, 5)) :]


def _json_changed(data: bytes, draw: random.Random) -> bytes | None:
    """Change one value at any depth, of one line if there are several."""
    lines = data.splitlines() if data.count(b"\n{") else [data]
    number = draw.randrange(len(lines))
    try:
        value = json.loads(lines[number])
    except (ValueError, RecursionError):
        return None
    inside = value
    while isinstance(inside, (dict, list)) and inside:
        key = draw.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        if not isinstance(inside[key], (dict, list)) or not inside[key] or draw.random() < 0.3:
            if draw.random() < 0.2:
                del inside[key]
            else:
                inside[key] = draw.choice(VALUES)
            break
        inside = inside[key]
    lines[number] = json.dumps(value).encode()
    return b"\n".join(lines) + (b"\n" if data.endswith(b"\n") else b"")


def _header_changed(data: bytes, draw: random.Random) -> bytes:
    """Change the JSON header of a safetensors file, its length made to fit or not."""
    if len(data) < 8:  # an earlier mutation cut it
        return data
    (length,) = struct.unpack("<Q", data[:8])
    header = _json_changed(data[8 : 8 + length], draw) or data[8 : 8 + length]
    stated = draw.choice((len(header), len(header), len(header), 2**40, 2**63, 0, 1 << 24))
    return struct.pack("<Q", stated) + header + data[8 + length :]


def _zip_changed(data: bytes, draw: random.Random) -> bytes | None:
    """Pack the members anew: one changed, doubled, left out, or compressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # noqa: BLE001  changed before, and broken by it
        return None
    at = draw.randrange(len(members))
    name, content = members[at]
    way = draw.randrange(5)
    if way < 2 and content:
        members[at] = (name, draw.choice((_flipped, _cut))(content, draw))
    elif way == 2:
        members.append((name + draw.choice((".npy", "x", "")), content))
    elif way == 3:
        del members[at]
    else:
        members[at] = (name, bytes(draw.choice((0, 1, 1 << 20, 1 << 23))))
    packing = draw.choice((zipfile.ZIP_STORED,) * 3 + (zipfile.ZIP_DEFLATED,))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = packing
            archive.writestr(info, content)
    return out.getvalue()


def _targets(folder: Path) -> list[Target]:
    """Make a good file of each kind."""
    found = []

    def add(name: str, path: Path, read: Callable[[], object]) -> None:
        found.append(Target(name, path, read, path.read_bytes()))

    tiny = make_tiny_model(folder / "tiny")

    def load_tiny() -> None:
        files = find_model(tiny)
        files.load("coarse")
        files.load_codec()

    add("config.json", tiny / "config.json", load_tiny)
    add("safetensors", tiny / "coarse.safetensors", load_tiny)
    add("codec", tiny / "codec.safetensors", load_tiny)
    torch.save(checkpoint("fine"), folder / "fine.pt")
    add("torch file", folder / "fine.pt", lambda: load_stage(folder / "fine.pt", "fine"))
    index = folder / "model.safetensors.index.json"
    save_file({"a": torch.ones(2)}, folder / "m-1.safetensors")
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "m-1.safetensors"}}))
    add("index", index, lambda: read_weights(index))
    hf = folder / "hf"
    hf.mkdir()
    (hf / "config.json").write_text('{"model_type": "bark"}')
    save_file({"a": torch.ones(2)}, hf / "model.safetensors")
    layout = {"sample_rate": 24000, "semantic_config": {"semantic_rate_hz": 49.9}}
    (hf / "generation_config.json").write_text(json.dumps(layout))
    add("generation_config", hf / "generation_config.json", lambda: find_model(hf))
    for name, save in (("npz", np.savez), ("packed npz", np.savez_compressed)):
        path = folder / f"{name}.npz"
        info = np.frombuffer(b'{"model": "x", "date": "y"}', np.uint8)
        save(path, **make(60).to_dict(), meta_json=info)
        add(name, path, lambda path=path: Voice.load(path))
    _add_booth(folder, add)
    return found


def _add_booth(folder: Path, add: Callable[[str, Path, Callable[[], object]], None]) -> None:
    """Make the files that takes and trainings keep."""
    digest = "0" * 64
    parts = [{"number": n, "text": "x", "speaker": None, "seed": n, "take": 0, "seconds": 1.0,
              "tokens_sha256": digest} for n in (1, 2)]  # fmt: skip
    record = {
        "run": "x", "name": "take", "text": "x", "seed": 5, "model": {"name": "nano"},
        "device": "cpu", "voice": {"reference": "x", "sha256": digest}, "voices": {},
        "mode": "anchored", "silence": 0.1, "crossfade": 0.0, "settings": {"coarse_top_k": None},
        "candidates": 1, "parts": parts,
    }  # fmt: skip
    tokens = make(60)
    said = Generation(np.zeros(100, np.float32), tokens, "x", 5, Settings(), "nano", BARK)
    take = save_take(said, record, target=folder / "take", with_voice=False)
    add("take.json", take.record, lambda: read_record(take.record))
    journal = Journal(folder / "a.journal")
    journal.begin({"seed": 1, "parts": 2})
    for number in (1, 2):
        journal.add(Part(number, "", None, number, 0, np.zeros(0), make(20)))

    def read_journal() -> None:
        read = Journal(journal.path)
        for number in read.parts:
            read.tokens(number)

    add("journal", journal.path, read_journal)
    run = folder / ".bark-x.run"
    run.write_text('{"seed": 7}\n{"take": 0, "name": "take.json"}\n')

    def go_on() -> None:
        with open_run(folder, "x", None) as found:
            found.has(0)

    add("run file", run, go_on)
    state = {"step": 3, "stale": 0, "best_step": 1, "best_loss": 0.5, "fingerprint": {"data": "x"}}
    save_tensors(folder / "best.safetensors", {"w": torch.ones(3)}, state)
    add("training", folder / "best.safetensors", lambda: load_tensors(folder / "best.safetensors"))
    (folder / "metrics.jsonl").write_text('{"phase": "train", "step": 1, "loss": 0.5}\n' * 3)
    add("metrics", folder / "metrics.jsonl", lambda: read_metrics(folder))
    _add_training(folder, add)


def _add_training(folder: Path, add: Callable[[str, Path, Callable[[], object]], None]) -> None:
    """Make the files of tokenizers, quantizers and training data."""
    (folder / "vocab.txt").write_text("[UNK]\nhello\n")
    beside = folder / "tokenizer_config.json"
    beside.write_text('{"do_lower_case": true}')
    add("tokenizer_config", beside, lambda: BertTextTokenizer.from_pretrained(folder))
    pairs = make_dataset(folder / "pairs", 3)
    add("dataset.json", pairs.folder / "dataset.json", lambda: PreparedDataset.load(pairs.folder))
    entry = pairs.entries[0]
    pair = pairs.folder / PAIRS / entry.file
    add("pair", pair, lambda: pairs.read(entry))
    quantizer = LSTMQuantizer(LSTMNetwork(QuantizerSizes(8, 4, 12))).save(folder / "q.pth")
    add("quantizer", quantizer, lambda: LSTMQuantizer.load(quantizer))
    listed = Entry("a", 1, "x", (1, 2), 3, 4, "0" * 64)
    VoiceData(folder, "nano", LAYOUT, 0.1, (listed,)).save()
    add("data.json", folder / "data.json", lambda: VoiceData.load(folder))


def _memory() -> int:
    """Return the largest memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
