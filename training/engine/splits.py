"""Decides which utterances train, validate and test: by a hash of their names, in the shares asked
for.
"""

import hashlib
from collections.abc import Mapping


def split_by_hash(
    sizes: Mapping[str, int], shares: Mapping[str, float], rest: str
) -> dict[str, str]:
    """Deal out names in the order of their hash, cut where the shares end.

    The same names always give the same splits, and a few more names move only those near a cut.
    Each split with a share gets at least one name as long as `rest` keeps one, the later ones
    first.

    Parameters
    ----------
    sizes : how many utterances stand behind each name, which stay together.
    shares : of all utterances, for each split but the last.
    rest : the split that gets what is left.

    Returns
    -------
    The split of each name.

    >>> split_by_hash(dict.fromkeys("abcdefghij", 1), {"validation": 0.2}, "train")["a"]
    'train'
    """
    ordered = sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest())
    total, below, middles = sum(sizes.values()), 0.0, []
    for name in ordered:
        middles.append((below + sizes[name] / 2) / total)
        below += sizes[name]
    cuts: list[int] = []
    bound = 0.0
    for share in shares.values():
        bound += share
        nearest = sum(middle < bound for middle in middles)
        cuts.append(max(nearest, (cuts[-1] if cuts else 0) + (share > 0)))
    limit = len(ordered) - 1
    for place, share in reversed(list(enumerate(shares.values()))):
        cuts[place] = max(0, min(cuts[place], limit))
        limit = cuts[place] - (share > 0)
    names = [*shares, rest]
    return {name: names[sum(place >= cut for cut in cuts)] for place, name in enumerate(ordered)}
