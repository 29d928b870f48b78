"""A spelled English word to phones, by letter-to-sound rules: the last resort for unknown words."""

from __future__ import annotations

import re

# Letters, then their phones; tried in this order at each place, so longer and rarer spellings come
# first. "^" and "$" in a rule mean the ends of the word, (?=...) and (?<=...) the neighbours.
RULES: tuple[tuple[str, str], ...] = (
    ("tion", "SH AH N"), ("sion(?<=[aeiou]sion)", "ZH AH N"), ("ssion", "SH AH N"),
    ("sion", "SH AH N"), ("cian", "SH AH N"), ("cious", "SH AH S"), ("tious", "SH AH S"),
    ("cial", "SH AH L"), ("tial", "SH AH L"), ("ture", "CH ER"), ("sure", "ZH ER"),
    ("ought", "AO T"), ("aught", "AO T"), ("ough", "AH F"), ("augh", "AE F"), ("eigh", "EY"),
    ("igh", "AY"), ("eau", "OW"), ("tch", "CH"), ("dge", "JH"), ("sch", "SH"), ("^kn", "N"),
    ("^gn", "N"), ("^pn", "N"), ("^ps", "S"), ("^wr", "R"), ("^rh", "R"), ("^x", "Z"),
    ("^mc", "M AH K"), ("mb$", "M"), ("mn$", "M"), ("gn$", "N"), ("gue$", "G"), ("que$", "K"),
    ("ous$", "AH S"), ("le$", "AH L"), ("al$", "AH L"), ("el$", "AH L"), ("ey$", "IY"),
    ("ies$", "IY Z"), ("ed$", "D"), ("es$", "Z"), ("e$", ""), ("sch", "SH"), ("ch(?=[lr])", "K"),
    ("ch", "CH"), ("sh", "SH"), ("th", "TH"), ("ph", "F"), ("gh", "G"), ("wh", "W"), ("qu", "K W"),
    ("ck", "K"), ("ng$", "NG"), ("ng(?=s$)", "NG"), ("nk", "NG K"), ("sc(?=[eiy])", "S"),
    ("cc(?=[eiy])", "K S"), ("air", "EH R"), ("ear", "IH R"), ("eer", "IH R"), ("ier", "IH R"),
    ("oar", "AO R"), ("oor", "AO R"), ("our", "AO R"), ("are$", "EH R"), ("ire", "AY ER"),
    ("ore", "AO R"), ("ure", "Y UH R"), ("ar(?![aeiou])", "AA R"), ("er(?![aeiou])", "ER"),
    ("ir(?![aeiou])", "ER"), ("or(?![aeiou])", "AO R"), ("ur(?![aeiou])", "ER"),
    ("yr(?![aeiou])", "ER"), ("ai", "EY"), ("ay", "EY"), ("au", "AO"), ("aw", "AO"), ("ae", "IY"),
    ("ea", "IY"), ("ee", "IY"), ("ei", "IY"), ("eu", "UW"), ("ew", "UW"), ("ie", "IY"),
    ("oa", "OW"), ("oe", "OW"), ("oi", "OY"), ("oy", "OY"), ("oo", "UW"), ("ou", "AW"),
    ("ow$", "OW"), ("ow", "AW"), ("ue", "UW"), ("ui", "UW"),
    ("a(?=[bcdfgjklmnpqrstvz]e(s|d)?$)", "EY"), ("e(?=[bcdfgjklmnpqrstvz]e(s|d)?$)", "IY"),
    ("i(?=[bcdfgjklmnpqrstvz]e(s|d)?$)", "AY"), ("o(?=[bcdfgjklmnpqrstvz]e(s|d)?$)", "OW"),
    ("u(?=[bcdfgjklmnpqrstvz]e(s|d)?$)", "UW"), ("y(?=[bcdfgjklmnpqrstvz]e(s|d)?$)", "AY"),
    ("bb", "B"), ("cc", "K"), ("dd", "D"), ("ff", "F"), ("gg", "G"), ("kk", "K"), ("ll", "L"),
    ("mm", "M"), ("nn", "N"), ("pp", "P"), ("rr", "R"), ("ss", "S"), ("tt", "T"), ("vv", "V"),
    ("zz", "Z"), ("aa", "AA"), ("c(?=[eiy])", "S"), ("c", "K"), ("g(?=[eiy])", "JH"), ("g", "G"),
    ("s(?<=[aeiou]s)(?=[aeiou])", "Z"), ("^y", "Y"), ("y(?=[aeiou])", "Y"), ("^y$", "AY"),
    ("y$", "IY"), ("y", "IH"), ("a$", "AH"), ("a", "AE"), ("^e$", "IY"), ("e", "EH"),
    ("^i$", "AY"), ("i$", "IY"), ("i", "IH"), ("o$", "OW"), ("o", "AA"), ("u$", "UW"), ("u", "AH"),
    ("b", "B"), ("d", "D"), ("f", "F"), ("h$", ""), ("h", "HH"), ("j", "JH"), ("k", "K"),
    ("l", "L"), ("m", "M"), ("n", "N"), ("p", "P"), ("q", "K"), ("r", "R"), ("s", "S"), ("t", "T"),
    ("v", "V"), ("w", "W"), ("x", "K S"), ("z", "Z"), ("'", ""),
)  # fmt: skip
VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
LETTERS = dict(
    a="EY", b="B IY", c="S IY", d="D IY", e="IY", f="EH F", g="JH IY", h="EY CH", i="AY",
    j="JH EY", k="K EY", l="EH L", m="EH M", n="EH N", o="OW", p="P IY", q="K Y UW", r="AA R",
    s="EH S", t="T IY", u="Y UW", v="V IY", w="D AH B AH L Y UW", x="EH K S", y="W AY", z="Z IY",
)  # fmt: skip


def pronounce_by_rule(word: str) -> tuple[str, ...]:
    """Return the phones of a lower-case word: the first vowel stressed ("1"), the others not ("0").

    A word without any vowel letter is spelled out, letter by letter.
    """
    if not re.search("[aeiouy]", word):
        phones = [
            phone for letter in word if letter in LETTERS for phone in LETTERS[letter].split()
        ]
    else:
        phones = _apply_rules(word)
    stressed = next((index for index, phone in enumerate(phones) if phone in VOWELS), -1)
    return tuple(
        phone + ("1" if index == stressed else "0") if phone in VOWELS else phone
        for index, phone in enumerate(phones)
    )


def _compile() -> dict[str, tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]]:
    """Group the rules by first letter; "^" becomes a real test for the start of the word."""
    table: dict[str, list[tuple[re.Pattern[str], tuple[str, ...]]]] = {}
    for pattern, phones in RULES:
        first = pattern.removeprefix("^")[0]
        anchored = "(?<![a-z'])" + pattern[1:] if pattern.startswith("^") else pattern
        table.setdefault(first, []).append((re.compile(anchored), tuple(phones.split())))
    return {first: tuple(rules) for first, rules in table.items()}


TABLE = _compile()


def _apply_rules(word: str) -> list[str]:
    phones: list[str] = []
    place = 0
    while place < len(word):
        for pattern, sounds in TABLE.get(word[place], ()):
            match = pattern.match(word, place)
            if match:
                phones += sounds
                place = match.end()
                break
        else:
            place += 1  # no sound of English: passed over
    if not any(phone in VOWELS for phone in phones):
        phones.append("AH")  # a lone "e" fell silent
    return phones
