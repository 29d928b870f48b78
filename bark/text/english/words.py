"""Abbreviations, Roman numerals and interjections as the words a speaker says."""

from __future__ import annotations

import itertools
import re

from .lexicon import lexicon
from .numbers import cardinal, ordinal
from .rules import Rule, any_of, rule

ABBREVIATIONS = {  # with their dot
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor",
    "st": "saint", "jr": "junior", "sr": "senior", "vs": "versus", "etc": "et cetera",
    "gen": "general", "col": "colonel", "capt": "captain", "lt": "lieutenant", "sgt": "sergeant",
    "maj": "major", "rev": "reverend", "gov": "governor", "sen": "senator", "rep": "representative",
    "hon": "honorable", "pres": "president", "dept": "department", "univ": "university",
    "approx": "approximately", "inc": "incorporated", "ltd": "limited", "corp": "corporation",
    "bros": "brothers", "ave": "avenue", "blvd": "boulevard", "rd": "road", "hwy": "highway",
    "mt": "mount", "esq": "esquire",
    "messrs": "messieurs", "viz": "namely", "cf": "compare", "al": "al",
    "ca": "circa", "tel": "telephone", "feat": "featuring", "govt": "government",
    "assn": "association", "incl": "including", "excl": "excluding", "misc": "miscellaneous",
}  # fmt: skip
BEFORE_A_NUMBER = {
    "no": "number", "nos": "numbers", "p": "page", "pp": "pages", "vol": "volume", "fig": "figure",
    "figs": "figures", "ch": "chapter", "sec": "section", "ed": "edition", "eq": "equation",
    "c": "circa", "art": "article", "ext": "extension", "para": "paragraph", "tab": "table",
    "est": "established", "ste": "suite", "apt": "apartment", "rs": "rupees", "lv": "level",
    "ver": "version",
}  # fmt: skip
AFTER_A_NAME = {"Co": "company", "Ct": "court", "Ln": "lane", "Pl": "place", "Sq": "square",
                "Pkwy": "parkway"}  # fmt: skip
QUARTERS = {"N": "north", "S": "south", "E": "east", "W": "west"}
STREETS = {"St": "street", "Rd": "road", "Ave": "avenue", "Blvd": "boulevard", "Hwy": "highway",
           "Ln": "lane", "Pkwy": "parkway"}  # fmt: skip
STREET = any_of([*STREETS, *(name.capitalize() for name in STREETS.values())])
TITLES = {"Mr": "mister", "Mrs": "missus", "Ms": "miz", "Dr": "doctor", "Prof": "professor",
          "Lt": "lieutenant", "Sgt": "sergeant", "St": "saint", "Capt": "captain"}  # fmt: skip
HEADINGS = (
    "chapter part act scene volume book phase type title article section class level stage war "
    "bowl appendix figure table unit lesson grade category tier apollo episode number vol"
).split()
RULERS = """
    henry louis charles elizabeth george edward richard james william philip peter catherine
    alexander nicholas benedict paul pius leo francis frederick napoleon wilhelm ivan mary
    felipe harald carl gustaf gustav ferdinand innocent gregory urban clement otto ramses
    ptolemy darius alfonso carlos haakon christian margrethe emmanuel leopold rudolf albert
    john stephen robert david matilda boniface julius sixtus xerxes cleopatra kim rama
    mehmed murad selim suleiman pedro joseph maximilian constantine theodosius celestine
    adrian eugene
""".split()
RULER = any_of(name.capitalize() for name in RULERS)
ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
NUMERAL = r"C{0,2}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
INTERJECTIONS = (  # what is written with any number of letters, and its one form in the dictionary
    (r"h+m{2,}", "hmm"), (r"s+h{2,}", "shh"), (r"u+m{2,}", "um"), (r"u+h{2,}", "uh"),
    (r"a+h{2,}", "ah"), (r"o+h{2,}", "oh"), (r"e+h{2,}", "eh"), (r"m{3,}", "mmm"),
    (r"br{2,}", "brr"), (r"gr{2,}", "grr"), (r"z{2,}", "zzz"), (r"ps+t+", "psst"),
    (r"pf+t+", "pfft"), (r"a+r*g+h+", "argh"), (r"e+w{2,}", "eww"), (r"ya+y+", "yay"),
    (r"a+w{2,}", "aw"), (r"u+g+h+", "ugh"), (r"(?:ha){3,20}h?", "ha ha ha"), (r"ts+k+", "tsk"),
)  # fmt: skip


def roman(numeral: str) -> int:
    """Return the value of a Roman numeral in capitals."""
    values = [ROMAN[letter] for letter in numeral]
    return sum(
        -value if value < following else value
        for value, following in zip(values, [*values[1:], 0], strict=True)
    )


def _heading(match: re.Match[str]) -> str:
    return f"{match.group(1)}{cardinal(str(roman(match.group(2))))}"


def _ruler(match: re.Match[str]) -> str:
    return f"{match.group(1)} the {ordinal(str(roman(match.group(2))))}"


def _interjection(match: re.Match[str]) -> str:
    return SOUNDS[match.lastgroup or ""]


SOUNDS = {f"sound{index}": form for index, (_, form) in enumerate(INTERJECTIONS)}
_SOUND = "|".join(f"(?P<sound{at}>{pattern})" for at, (pattern, _) in enumerate(INTERJECTIONS))
_DRAWN = re.compile(r"([a-z])\1{2,}")
SHORT_WORDS = frozenset("so no go yes hey hi yo be me he she we do to my by oh ok okay".split())
MOST_DRAWN = 3  # runs in one word that are tried both short and long


def _runs(word: str) -> list[tuple[str, bool]]:
    """Return the letters of `word`, those that stand three times or more once and marked."""
    found = re.findall(r"([a-z])(\1{2,})?", word)
    return [(letter, bool(more)) for letter, more in found]


def _drawn_out(match: re.Match[str]) -> str:
    """Write "sooooo" and "coool" as the dictionary does; an unknown word keeps two of each."""
    word = match.group().lower()
    runs = len(_DRAWN.findall(word))
    if not runs or word in lexicon() or not set(match.group()) - ROMAN.keys():
        return match.group()
    if (once := _DRAWN.sub(r"\1", word)) in SHORT_WORDS:
        return once
    for counts in itertools.product((2, 1), repeat=min(runs, MOST_DRAWN)):
        lengths = iter(counts)
        short = "".join(piece * (next(lengths, 1) if drawn else 1) for piece, drawn in _runs(word))
        if short in lexicon():
            return short
    return _DRAWN.sub(r"\1\1", word)


RULES: tuple[Rule, ...] = (
    rule(r"([A-Za-z])\1{3,}", r"\1\1\1"),
    rule(rf"(?<![A-Za-z'])(?i:{_SOUND})(?![A-Za-z'])", _interjection),
    rule(r"(?<![A-Za-z])[A-Za-z]{3,40}(?![A-Za-z])", _drawn_out),
    rule(r"\b(?:[Ee]\.g\.|eg\.),?", " for example "),
    rule(r"\b[Ii]\.e\.,?", " that is "),
    rule(
        rf"\b([NSEW])\.? (?=(?:\d{{1,3}}(?:st|nd|rd|th)|[A-Z][a-z]{{2,20}}) (?:{STREET})\b)",
        lambda m: QUARTERS[m[1]] + " ",
    ),
    rule(
        rf"((?:[A-Z][a-z]{{2,20}}|\dth|1st|2nd|3rd) )({any_of(STREETS)})(?=,|;|$)",
        lambda m: m[1] + STREETS[m[2]],
    ),
    rule(r"(?<=\w )[Ss]t\.(?=\s*(?:$|[,;:!?a-z\d]))", "street"),  # not St. Paul
    rule(r"(?<=[a-z&] )(Co|Ct|Ln|Pl|Sq|Pkwy)\.(?=\W|$)", lambda m: AFTER_A_NAME[m[1]]),
    rule(r"\bCtrl\b", "control"),
    rule(r"\b[Tt]hx\b", "thanks"),
    rule(r"\bFt\. (?=[A-Z])", "fort "),
    rule(r"(?<=[a-z] )v\.? (?=[A-Z])", "versus "),
    rule(
        rf"(?m)^ *(?=[IVX]{{2}})({NUMERAL})\. (?=[A-Z])",
        lambda m: f"{cardinal(str(roman(m[1])))}, ",
    ),
    rule(
        rf"(?i)\b({'|'.join(BEFORE_A_NUMBER)})\. ?(?=\d|[IVX]+\b)",
        lambda m: BEFORE_A_NUMBER[m.group(1).lower()] + " ",
    ),
    rule(
        rf"(?i)\b({'|'.join(ABBREVIATIONS)})\.(?=\W|$)",
        lambda m: ABBREVIATIONS[m.group(1).lower()] + " ",
    ),
    rule(rf"\b({any_of(TITLES)}) (?=[A-Z][a-z])", lambda m: TITLES[m.group(1)] + " "),
    rule(
        rf"\b(?=[IVX])({NUMERAL})(?= [Cc]entur(?:y|ies)\b)",
        lambda m: ordinal(str(roman(m[1]))),
    ),
    rule(rf"\b((?i:{'|'.join(HEADINGS)}) )(?=[IVXLC])(?![CL]\b)({NUMERAL})(?!\w|'[^s])", _heading),
    rule(
        rf"\b({RULER}) (?=[IVX])({NUMERAL})(?<! I)(?!\w|'[^s])",
        _ruler,
    ),
    rule(rf"\b({RULER}) (I)(?= of | and |[,.;:)]|$)", _ruler),
    rule(
        r"\b((?:[A-Z][a-z]{2,30}) )(?=[IVX]{2})([IVX]{2,6})(?!\w|'[^s])",
        lambda m: _heading(m) if re.fullmatch(NUMERAL, m.group(2)) else m.group(),
    ),
)
