"""Written English to the words a speaker says: "Dr. Lee paid $3.50 at 9:05" → "doctor lee paid
three dollars ...".

The spoken form has lower-case words of a to z and apostrophes, and ", " wherever a mark asks for a
pause. It is its own spoken form. Every pattern is linear in the text: no nested repeats, numbers
are bounded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

MONTHS = (
    "january february march april may june july august september october november december".split()
)
MONTH = "|".join(f"{month}|{month[:3]}" for month in MONTHS if month != "may") + "|sept|may"
MAX_DIGITS = 12  # longer numbers, and those that begin with 0, are read digit by digit
DIGIT_NAMES = "zero one two three four five six seven eight nine".split()
CURRENCIES = {
    "$": ("dollar", "cent"),
    "£": ("pound", "penny"),
    "€": ("euro", "cent"),
    "¥": ("yen", ""),
}
PLURALS = {"penny": "pence", "yen": "yen"}
SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "tn": "trillion"}
SIGNS = {
    "&": " and ",
    "+": " plus ",
    "=": " equals ",
    "@": " at ",
    "%": " percent ",
    "#": " number ",
    "°": " degrees ",
}
ABBREVIATIONS = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor",
    "st": "saint", "jr": "junior", "sr": "senior", "vs": "versus", "etc": "et cetera",
    "gen": "general", "col": "colonel", "capt": "captain", "lt": "lieutenant", "sgt": "sergeant",
    "rev": "reverend", "gov": "governor", "sen": "senator", "hon": "honorable",
    "dept": "department", "approx": "approximately", "inc": "incorporated", "ltd": "limited",
    "corp": "corporation", "ave": "avenue", "blvd": "boulevard", "mt": "mount", "ft": "feet",
    "oz": "ounces", "lb": "pounds", "lbs": "pounds",
}  # fmt: skip
UNITS = {
    "km": "kilometers", "kg": "kilograms", "cm": "centimeters", "mm": "millimeters",
    "mg": "milligrams", "ml": "milliliters", "hz": "hertz", "khz": "kilohertz", "mb": "megabytes",
    "gb": "gigabytes", "mph": "miles per hour",
}  # fmt: skip
FOLDED = str.maketrans(
    {
        "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l",
        "Ł": "L", "đ": "d", "ð": "th", "þ": "th", "’": "'", "‘": "'", "ʼ": "'", "`": "'", "−": "-",
        "‐": "-", "‑": "-", "–": "-", "…": ",", "—": ",", "、": ",", "。": ",", "⁄": "/",
        "¢": " cents",
    }
)  # fmt: skip


def spoken_form(text: str) -> str:
    """Return the spoken form of `text`; empty when there is nothing to say."""
    text = _latin(text)
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return _tidy(text)


def _latin(text: str) -> str:
    """Drop accents and other scripts; keep ASCII, the currency signs and the degree sign."""
    text = re.sub(r"(?<=\d) ?(?=[¼-¾⅐-⅞])", " and ", text)  # 1½
    text = unicodedata.normalize("NFKD", text.translate(FOLDED)).translate(FOLDED)
    kept = (
        char if char.isascii() or char in "£€¥°" else "" if unicodedata.combining(char) else " "
        for char in text
    )
    return "".join(kept)


def _tidy(text: str) -> str:
    """Lower-case; marks become ", ", other signs spaces; apostrophes stay inside words only."""
    text = re.sub(r"[.,;:!?()\[\]{}\"\n]", " , ", text.lower())
    words: list[str] = []
    for word in re.sub(r"[^a-z', ]", " ", text).split():
        word = word.strip("'")
        if word == ",":
            if words and not words[-1].endswith(","):
                words[-1] += ","
        elif word.strip(","):
            words.append(word)
    if words:
        words[-1] = words[-1].rstrip(",")
    return " ".join(words)


def _cardinal(digits: str) -> str:
    from num2words import num2words

    digits = digits.replace(",", "")
    if len(digits) > MAX_DIGITS or (digits.startswith("0") and len(digits) > 1):
        return _by_digit(digits)
    return str(num2words(int(digits))).replace(",", "").replace("-", " ")


def _ordinal(digits: str) -> str:
    from num2words import num2words

    digits = digits.replace(",", "")
    if len(digits) > MAX_DIGITS:
        return _by_digit(digits)
    return str(num2words(int(digits), to="ordinal")).replace(",", "").replace("-", " ")


def _by_digit(digits: str) -> str:
    return " ".join(DIGIT_NAMES[int(digit)] for digit in digits)


def _by_groups(number: str) -> str:
    """Read a telephone number: digit by digit, a pause between its groups."""
    return " " + ", ".join(map(_by_digit, number.split("-"))) + " "


def _year(digits: str) -> str:
    """Read 1100 to 2099 as a year: "nineteen ninety two", "nineteen oh five", "two thousand and
    one".
    """
    high, low = divmod(int(digits), 100)
    if low == 0 and high % 10 == 0 or 2000 <= int(digits) < 2010:
        return _cardinal(digits)
    if low == 0:
        return f"{_cardinal(str(high))} hundred"
    return f"{_cardinal(str(high))} {'oh ' if low < 10 else ''}{_cardinal(str(low))}"


def _number(match: re.Match[str]) -> str:
    """Read a plain number: a year when it looks like one, else a cardinal; decimals
    digit by digit.
    """
    whole, decimals = match.group(1), match.group(2)
    if decimals:
        return f" {_cardinal(whole)} point {_by_digit(decimals)} "
    if len(whole) == 4 and whole.isdigit() and 1100 <= int(whole) <= 2099:
        return f" {_year(whole)} "
    return f" {_cardinal(whole)} "


def _money(match: re.Match[str]) -> str:
    sign, whole, cents, scale = match.groups()
    unit, small = CURRENCIES[sign]
    cents, scale = cents or "", (scale or "").strip().lower()
    if scale or (cents and not (small and len(cents) == 2)):
        decimals = f" point {_by_digit(cents)}" if cents else ""
        scaled = f" {SCALES.get(scale, scale)}" if scale else ""
        return f" {_cardinal(whole)}{decimals}{scaled} {_plural(unit, 2)} "
    number, rest = int(whole.replace(",", "")[:MAX_DIGITS]), int(cents or 0)
    words = f" {_cardinal(whole)} {_plural(unit, number)} " if number or not rest else " "
    if not rest:
        return words
    return f"{words}{'and ' if number else ''}{_cardinal(str(rest))} {_plural(small, rest)} "


def _version(match: re.Match[str]) -> str:
    """Read 3.11.2: numbers with points between."""
    return f" {' point '.join(map(_cardinal, match.group().split('.')))} "


def _plural(unit: str, count: int) -> str:
    return unit if count == 1 else PLURALS.get(unit, unit + "s")


def _one(unit: str) -> str:
    """Return "kilometer" for kilometers, "mile per hour" for miles per hour."""
    return re.sub(r"s\b", "", unit, count=1)


def _time(match: re.Match[str]) -> str:
    hour, minute, half = int(match.group(1)), int(match.group(2)), match.group(3)
    if hour > 24 or minute > 59:
        return f" {_cardinal(str(hour))} {_cardinal(match.group(2))} "
    if minute == 0:
        words = _cardinal(str(hour)) + (
            "" if half else " o'clock" if 1 <= hour <= 12 else " hundred hours"
        )
    else:
        words = f"{_cardinal(str(hour))} {'oh ' if minute < 10 else ''}{_cardinal(str(minute))}"
    return f" {words} {_half_day(half)} "


def _half_day(letters: str | None) -> str:
    return "" if not letters else "ay em" if letters[0] in "aA" else "p m"


def _iso_date(match: re.Match[str]) -> str:
    year, month, day = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return f" {_cardinal(year)} {_cardinal(month)} {_cardinal(day)} "
    return f" {MONTHS[int(month) - 1]} {_ordinal(day)}, {_any_year(year)} "


def _slash_date(match: re.Match[str]) -> str:
    """Read 3/14/2024 as Americans write it, month first, unless only the other order
    is possible.
    """
    first, second, year = match.groups()
    month, day = (first, second) if int(first) <= 12 else (second, first)
    return _iso_date_parts(year, month, day)


def _iso_date_parts(year: str, month: str, day: str) -> str:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return f" {_cardinal(month)} {_cardinal(day)} {_cardinal(year)} "
    return f" {MONTHS[int(month) - 1]} {_ordinal(day)}, {_any_year(year)} "


def _any_year(year: str) -> str:
    return _year(year) if 1100 <= int(year) <= 2099 else _cardinal(year)


def _decade(match: re.Match[str]) -> str:
    """Read 1990s, 2000s and 80s."""
    century, ten = match.groups()
    if ten == "0":
        return " two thousands " if century == "20" else f" {_cardinal(century)} hundreds "
    tens = "tens" if ten == "1" else _cardinal(ten + "0").removesuffix("y") + "ies"
    return f" {_cardinal(century) if century else ''} {tens} "


def _fraction(match: re.Match[str]) -> str:
    """Read 1/2, 3/4, 2/3: halves, quarters and what is smaller by their ordinals."""
    count, of = int(match.group(1)), int(match.group(2))
    if count >= of:
        return f" {_cardinal(match.group(1))} over {_cardinal(match.group(2))} "
    name = {2: "half", 4: "quarter"}.get(of) or _ordinal(str(of))
    return f" {_cardinal(str(count))} {_plural(name, count)} "


def _full_month(name: str) -> str:
    return next(month for month in MONTHS if month.startswith(name.lower()[:3]))


def _month_day(match: re.Match[str]) -> str:
    return f" {_full_month(match.group(1))} {_ordinal(match.group(2))} "


def _day_month(match: re.Match[str]) -> str:
    return f" {_ordinal(match.group(1))} of {_full_month(match.group(2))} "


def _spell(match: re.Match[str]) -> str:
    """Spell "U.S." and "BBC" letter by letter; A is written "ay", since "a" is a word."""
    letters = [letter for letter in match.group().lower() if letter.isalpha()]
    return " " + " ".join("ay" if letter == "a" else letter for letter in letters) + " "


Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _rule(
    pattern: str, replacement: str | Callable[[re.Match[str]], str], flags: int = re.IGNORECASE
) -> Rule:
    return re.compile(pattern, flags), replacement


DIGITS = r"\d{1,3}(?:,\d{3}){1,4}(?![\d,])|\d+"
SCALE = r" (?:thousand|million|billion|trillion)\b|(?:k|m|[mbt]n)\b"
RULES: tuple[Rule, ...] = (
    _rule(r"https?://(?:www\.)?", ""),
    _rule(r"\b(?:e\.g\.|eg\.)", "for example"),
    _rule(r"\bi\.e\.", "that is"),
    _rule(r"(?<=\w )[Ss]t\.(?=\s*(?:$|[,;:!?a-z\d]))", "street", 0),  # not St. Paul
    _rule(rf"\b({'|'.join(ABBREVIATIONS)})\.", lambda m: ABBREVIATIONS[m.group(1).lower()] + " "),
    _rule(r"\bno\. ?(?=\d)", "number "),
    _rule(r"(?<![\w.])-(?=[$£€¥] ?\.?\d)", " minus "),
    _rule(rf"(?<![$£€¥\d.,])((?:{DIGITS})(?:\.\d{{1,12}})?) ?([€£¥])(?! ?\d)", r"\2\1"),
    _rule(r"([$£€¥]) ?(\d{1,12}) ?- ?(?=\d)", r"\2 to \1"),
    _rule(r"(?<=\d) ?- ?(?=[$£€¥])", " to "),
    _rule(r"([$£€¥]) ?(?=\.\d)", r"\g<1>0"),
    _rule(rf"([$£€¥]) ?({DIGITS})(?:\.(\d{{1,12}}))?({SCALE})?", _money),
    _rule(r"\b(\d{4})-(\d\d)-(\d\d)\b", _iso_date),
    _rule(r"\b(\d\d?)/(\d\d?)/(\d{4})\b", _slash_date),
    _rule(r"\b(\d\d?):(\d\d)(?::\d\d)?(?: ?([ap])\.?m\b\.?)?", _time),
    _rule(
        r"\b(\d\d?) ?([ap])\.?m\b\.?",
        lambda m: f" {_cardinal(m.group(1))} {_half_day(m.group(2))} ",
    ),
    _rule(rf"\b({MONTH})\b\.? (\d\d?)(?:st|nd|rd|th)?\b(?![:\d])", _month_day),
    _rule(rf"\b(\d\d?)(?:st|nd|rd|th)? (?:of )?({MONTH})\b\.?", _day_month),
    _rule(r"\b(\d{1,12})(?:st|nd|rd|th)\b", lambda m: f" {_ordinal(m.group(1))} "),
    _rule(r"\b(1[1-9]|20)(\d)0s\b", _decade),
    _rule(r"\b()([1-9])0s\b", _decade),
    _rule(r"\b\d{3,4}-\d{3,4}(?:-\d{3,4})?\b", lambda m: _by_groups(m.group())),
    _rule(r"(?<![\d./])([1-9])/([2-9]|10)(?![\d/]|\.\d)", _fraction),
    _rule(r"(?<=\d) ?/ ?(?=\d)", " over "),
    _rule(r"(?<=\d) ?- ?(?=\d)", " to "),
    _rule(r"(?<![\w.])-(?=\.?\d)", " minus "),
    _rule(
        rf"(?<![\d.,])1 ?({'|'.join(UNITS)})\b", lambda m: f"1 {_one(UNITS[m.group(1).lower()])} "
    ),
    _rule(rf"(?<=\d) ?({'|'.join(UNITS)})\b", lambda m: f" {UNITS[m.group(1).lower()]} "),
    _rule(r"(?<![\w.])\d{1,9}(?:\.\d{1,9}){2,9}(?![\w.])", _version),
    _rule(r"(?<![\w.])\.(\d+)", lambda m: f" point {_by_digit(m.group(1))} "),
    _rule(rf"({DIGITS})(?:\.(\d+))?", _number),
    _rule(r"(?<!\w)\.(?=\w)", " point "),
    _rule(r"[&+=@%#°]", lambda m: SIGNS[m.group()]),
    _rule(r"\b(?:[A-Za-z]\.){2,}", _spell),
    _rule(r"\b([B-HJ-Z])\. (?=[A-Z])", r"\1 ", 0),
    _rule(r"\b(?=[A-Z]{2,5}\b)[B-DF-HJ-NP-TV-XZ]{2,5}\b", _spell, 0),
    _rule(r"(?<=[A-Za-z])\.(?=[A-Za-z])", " dot "),
    _rule(r"(?<=[A-Za-z])/(?=[A-Za-z])", " slash "),
    _rule(r" -{1,3} |--+", ", "),
)
