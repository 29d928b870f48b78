"""Letters and signs of Unicode that English can say, by name or by their plain letters, and the
runs of those that it cannot.
"""

from __future__ import annotations

import re
import unicodedata

from .acronyms import letters_of
from .rules import Rule, any_of, rule
from .units import CURRENCIES

SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-", strict=True))
PLAIN = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O",
    "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "th", "Ð": "Th", "þ": "th", "Þ": "Th", "ı": "i",
    "ħ": "h", "Ħ": "H", "ŋ": "ng", "ə": "e", "Ə": "E", "ŧ": "t", "ƒ": "f", "’": "'", "‘": "'",
    "ʼ": "'", "ʻ": "'", "′": "'", "″": '"', "−": "-", "‐": "-", "‑": "-", "–": "-", "…": ",",
    "—": ",", "―": ",", "、": ",", "。": ",", "，": ",", "؟": "?", "،": ",", "⁄": "/", "∕": "/",
    "¢": " cents ", "№": " number ", "™": " trademark ", "℠": " service mark ",
    "©": " copyright ", "®": " registered ", "§": " section ", "¶": " paragraph ",
    "‰": " per mille ", "℃": "°C", "℉": "°F", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
}  # fmt: skip
NAMED = {  # said by name wherever they stand
    "÷": "divided by", "≤": "is less than or equal to", "≥": "is greater than or equal to",
    "≠": "is not equal to", "≈": "is approximately", "≡": "is identical to", "±": "plus or minus",
    "√": "square root of", "∞": "infinity", "∑": "sum of", "∏": "product of", "∫": "integral of",
    "♯": "sharp", "♭": "flat", "∀": "for all", "∃": "there is", "¬": "not", "⇒": "implies",
    "∝": "is proportional to", "∅": "the empty set", "⊂": "is a subset of", "∴": "therefore",
    "∂": "partial", "∈": "in", "∩": "and", "∪": "or", "→": "to", "←": "from", "×": "times",
    "&": "and", "+": "plus", "=": "equals", "@": "at", "#": "number", "°": "degrees",
}  # fmt: skip
GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
        "sigma tau upsilon phi chi psi omega".split(),
        strict=True,
    )
)
COMPARED = {"<": "is less than", ">": "is greater than", "<=": "is less than or equal to",
            ">=": "is greater than or equal to", "!=": "is not equal to"}  # fmt: skip
BOUNDS = {"<": "less than", ">": "more than", "<=": "at most", ">=": "at least",
          "≤": "at most", "≥": "at least"}  # fmt: skip
KEPT = frozenset("°×") | CURRENCIES.keys() | NAMED.keys()
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff]")
SIGNS_OF_A_WORD = 2  # in scripts without spaces, about
_GREEK_LETTER = re.compile(r"(?<![Ͱ-Ͽἀ-῿])[Α-Ωα-ωµΩ](?![Ͱ-Ͽἀ-῿\u0300-\u036f])")


def fold(text: str) -> tuple[str, tuple[str, ...]]:
    """Return `text` in ASCII and the signs that rules know, and the runs that had to go, in order.

    Accents are taken off, fractions and full-width letters written out, one Greek letter becomes
    its name; punctuation without an ASCII form is a space.
    """
    text = unicodedata.normalize("NFC", text)
    text = re.sub(f"[{''.join(SUPERSCRIPTS)}]+", _raised, text)
    text = re.sub(r"[µμ](?=(?:[mgslLFHAVM]|mol)\b)", "u", text)
    text = re.sub(r"(?<=\d) ?([kM]?)[ΩΩ](?!\w)", r" \1ohm", text)
    text = _GREEK_LETTER.sub(_greek, text)
    text = re.sub(r"(?<=\d) ?(?=[¼-¾⅐-⅞])", " and ", text)  # 1½
    kept: list[str] = []
    lost: list[str] = []
    run = ""
    for char in text:
        plain = _plain(char)
        if plain is None or (run and unicodedata.category(char)[0] == "M"):
            run += char
            continue
        if run and not char.isascii() and unicodedata.category(char) in ("Sk", "Cf"):
            run += char  # the skin colour or the joiner of an emoji
            continue
        if run:
            lost.append(run)
            kept.append(" ")
            run = ""
        kept.append(plain)
    if run:
        lost.append(run)
    return "".join(kept), tuple(lost)


def count_words(text: str, lost: tuple[str, ...]) -> tuple[int, int]:
    """Return how many visible words `text` has that are kept, and how many `lost` are.

    Chinese, Japanese or Thai has no spaces: two signs are taken for a word."""
    kept = sum(any(map(visible, word)) for word in text.split())
    gone = sum(max(1, len(UNSPACED.findall(run)) // SIGNS_OF_A_WORD) for run in lost)
    return kept, gone


def visible(char: str) -> bool:
    """Tell whether a listener would miss a folded `char`: a letter, a digit, a sign with a name."""
    return char.isalnum() or char == "%" or char in KEPT


def _raised(match: re.Match[str]) -> str:
    if charged := re.fullmatch(r"([²³⁴⁵⁶⁷⁸⁹]?)([⁺⁻])", match.group()):  # an ion, Fe³⁺
        count = f" {SUPERSCRIPTS[charged[1]]}" if charged[1] else ""
        return f"{count} {'plus' if charged[2] == '⁺' else 'minus'} "
    return "^" + "".join(SUPERSCRIPTS[char] for char in match.group())


def _greek(match: re.Match[str]) -> str:
    letter = unicodedata.normalize("NFKC", match.group()).lower()
    return f" {GREEK['σ' if letter == 'ς' else letter]} "


def _plain(char: str) -> str | None:
    """Return what stands for `char` in ASCII, "" or a space for silent ones, None for lost ones."""
    if char.isascii() or char in KEPT:
        return char if char.isprintable() or char.isspace() else ""
    if char in PLAIN:
        return PLAIN[char]
    category = unicodedata.category(char)
    if category[0] == "N" and (digit := unicodedata.decimal(char, None)) is not None:
        return str(digit)
    if category == "Cs":  # a byte that was no text
        return None
    if category[0] in "CM":
        return ""
    if category[0] == "Z":
        return " "
    folded = "".join(
        PLAIN.get(part, part)
        for part in unicodedata.normalize("NFKD", char)
        if not unicodedata.combining(part)
    )
    if folded.strip() and all(part.isascii() or part in KEPT for part in folded):
        return folded
    return " " if category[0] == "P" or category == "Sk" else None


RULES: tuple[Rule, ...] = (
    rule(r"[-=]{1,3}>", " to "),
    rule(r"<-{1,3}(?![\w>])", " from "),
    rule(r"(?<![<>=!-])(<=|>=|!=)(?![<>=])", lambda m: f" {COMPARED[m.group()]} "),
    rule(r"(?<![<>=-])([<>])(?![<>=])", lambda m: f" {COMPARED[m.group()]} "),
    rule(r"[<>]", " "),
    rule(r"·", " "),
    rule(f"[{re.escape(''.join(NAMED))}]", lambda m: f" {NAMED[m.group()]} "),
    rule(r"(?<= )w/o(?= )|^w/o(?= )", "without"),
    rule(r"(?<![\w/.])w/(?= {0,3}\w)", "with "),
    rule(r"(?i)\band/or\b", "and or"),
    rule(r"(?<=[A-Z][A-Z])/(?=[A-Z]{2})", " "),
    rule(r"\b([A-Z])/([A-Z])\b", lambda m: f"{letters_of(m[1])} {letters_of(m[2])}"),
    rule(r"(?<=[A-Za-z])/(?=[A-Za-z])", " slash "),
    rule(r" -{1,3} |--+", ", "),
)
BEFORE_NUMBERS: tuple[Rule, ...] = (
    rule(r"((?:^|[a-z]{2} |\())(<=|>=|[<>≤≥]) ?(?=[\d$£€])", lambda m: f"{m[1]} {BOUNDS[m[2]]} "),
    rule(r"\b(UTC|GMT) ?-(?=\d)", r"\1 minus "),
    rule(rf"\b({any_of(('C', 'F', 'G', 'D', 'A'))})#(?!\w)", lambda m: f" {_letter(m)} sharp "),
    rule(r"\b([A-F])\+(?![\w+])", lambda m: f" {_letter(m)} plus "),
    rule(r"\bC\+\+", " c plus plus "),
)


def _letter(match: re.Match[str]) -> str:
    letter = match.group(1).lower()
    return "ay" if letter == "a" else letter
