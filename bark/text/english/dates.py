"""Dates and times of day as words: four orders of a date, decades, clocks, durations, zones."""

from __future__ import annotations

import re

from .numbers import ORDINAL_MARK, amount, cardinal, ordinal, year
from .rules import Rule, any_of, rule

MONTHS = (
    "january february march april may june july august september october november december".split()
)
SHORT_MONTHS = {**{month[:3]: month for month in MONTHS}, "sept": "september"}
DAYS = dict(
    mon="monday", tue="tuesday", tues="tuesday", wed="wednesday", weds="wednesday", thu="thursday",
    thur="thursday", thurs="thursday", fri="friday", sat="saturday", sun="sunday",
)  # fmt: skip
CENTURY_TURN = 50  # '49 is 2049, '50 is 1950
MONTH_NAMES = any_of(
    form for name in {*MONTHS, *SHORT_MONTHS} for form in (name.capitalize(), name.upper())
)  # a month is written with a capital: "5 may come", "2 mar it"
SHORT_MONTH_NAMES = any_of(name.capitalize() for name in SHORT_MONTHS)
DAY_NAMES = any_of(name.capitalize() for name in DAYS)
DAY_OF_A_WEEK = any_of(
    form for name in {*DAYS, *DAYS.values()} for form in (name.capitalize(), name.upper())
)
SURE_DAYS = any_of("Tue Tues Weds Thu Thur Thurs Fri".split())  # no words by themselves
BIBLE = "Psalms?|Matthew|Mark|Luke|John|Acts|Romans|Genesis|Exodus|Isaiah"
HALF_DAY = r"[aApP]\.?[mM]\b\.?"


def clock(hour: str, minute: str, second: str | None = None, half: str | None = None) -> str:
    """Return a time of day: "nine oh five p m", "ten thirty and fifteen seconds"."""
    h, m = int(hour), int(minute)
    if m == 0:
        words = cardinal(str(h)) + (
            "" if half else " o'clock" if 1 <= h <= 12 else " hundred hours"
        )
    else:
        words = f"{cardinal(str(h))} {'oh ' if m < 10 else ''}{cardinal(str(m))}"
    if second and float(second):
        count = second.lstrip("0") if second[:2] != "00" else "0" + second[2:]
        words += f" and {amount(count)} second{'' if count == '1' else 's'}"
    return f" {words} {half_day(half)} "


def half_day(letters: str | None) -> str:
    """Return "ay em" or "p m"; "a" alone would be read as the article."""
    return "" if not letters else "ay em" if letters[0] in "aA" else "p m"


def _time(match: re.Match[str]) -> str:
    hour, minute, second, half, zone = match.groups()
    if int(hour) > 24 or int(minute) > 59:
        return f" {cardinal(hour)} {cardinal(minute)} {amount(second) if second else ''} "
    return clock(hour, minute, second, half) + (f"{zone.lower()} t " if zone else "")


def _valid(month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def date(month: str, day: str, year_digits: str) -> str:
    """Return "march fifth, twenty twenty one"; two digits of a year are completed."""
    if len(year_digits) == 2:
        year_digits = f"{20 if int(year_digits) < CENTURY_TURN else 19}{year_digits}"
    return f" {MONTHS[int(month) - 1]} {ordinal(day)}, {year(year_digits)} "


def _year_first(match: re.Match[str]) -> str:
    year_digits, month, day = match.groups()
    if _valid(month, day):
        return date(month, day, year_digits)
    return f" {cardinal(year_digits)} {cardinal(month)} {cardinal(day)} "


def _slashed(match: re.Match[str]) -> str:
    """Read 3/14/2024 as Americans write it, month first, unless only the other order is
    possible.
    """
    first, second, year_digits = match.groups()
    for month, day in ((first, second), (second, first)):
        if _valid(month, day):
            return date(month, day, year_digits)
    return f" {cardinal(first)} {cardinal(second)} {cardinal(year_digits)} "


def _dotted(match: re.Match[str]) -> str:
    day, month, year_digits = match.groups()
    return date(month, day, year_digits) if _valid(month, day) else match.group()


def full_month(name: str) -> str:
    """Return "january" for "Jan"."""
    return SHORT_MONTHS[name.lower()[:3]]


def _month_day(match: re.Match[str]) -> str:
    month, day, last, year_digits = match.groups()
    if not 1 <= int(day) <= 31:
        return f" {full_month(month)} {match.group()[len(month) :].lstrip('. ')}"
    words = f" {full_month(month)} {ordinal(day)}"
    words += f" to {ordinal(last)}" if last else ""
    return words + (f", {year(year_digits)} " if year_digits else " ")


def _day_month(match: re.Match[str]) -> str:
    day, last, month, year_digits = match.groups()
    if not 1 <= int(last or day) <= 31:
        return f" {cardinal(day)} {full_month(month)} {year_digits or ''}"
    words = f" {ordinal(day)}" + (f" to {ordinal(last)}" if last else "")
    return f"{words} of {full_month(month)} {year(year_digits) if year_digits else ''} "


def _hours(match: re.Match[str]) -> str:
    parts = zip(match.groups(), ("hour", "minute", "second"), strict=True)
    return "".join(
        f" {cardinal(count)} {unit}{'' if count == '1' else 's'} " for count, unit in parts if count
    )


def _army_time(match: re.Match[str]) -> str:
    """Read 0900 hours as "oh nine hundred hours", 1430 hours as "fourteen thirty hours"."""
    before, hour, minute, hours = match.groups()
    if int(hour) > 24 or int(minute) > 59:
        return match.group()
    high = f"{'oh ' if hour[0] == '0' else ''}{cardinal(str(int(hour)))}"
    low = "hundred" if minute == "00" else cardinal(minute).replace("zero", "oh")
    return f"{before or ''} {high} {low} {'hours ' if hours else ''}"


def _day_and_month(match: re.Match[str]) -> str:
    """Read Thu 3/14 as a date, month first unless only the other order is possible."""
    before, first, second = match.groups()
    for month, day in ((first, second), (second, first)):
        if _valid(month, day):
            name = re.sub(r"\W", "", before)
            before = before.replace(name, DAYS.get(name.lower(), name)).replace(".", "")
            return f"{before}{MONTHS[int(month) - 1]} {ordinal(day)} "
    return match.group()


def _named_month(match: re.Match[str]) -> str:
    day, month, year_digits = match.groups()
    return f" {ordinal(day)} of {full_month(month)} {year(year_digits)} "


def _day(name: str) -> str:
    return DAYS.get(name.lower(), name.lower())


DAY = any_of({name.capitalize() for name in (*DAYS, *DAYS.values())})
RULES: tuple[Rule, ...] = (
    rule(r"(?<![\w-])(MON|TUE|WED|THU|FRI|SAT|SUN)(?=,? \d)", lambda m: DAYS[m[1].lower()]),
    rule(
        rf"\b({DAY_NAMES})/({DAY_NAMES})\b", lambda m: f"{DAYS[m[1].lower()]}, {DAYS[m[2].lower()]}"
    ),
    rule(
        r"(?i)\b((?:at|by|until|from|before|after|around) )(\d\d)(\d\d)( hours| ?hrs)\b",
        _army_time,
    ),
    rule(
        r"(?<![\w.,])()([01]\d|2[0-3])([0-5]\d)(?:( hours| ?hrs)\b|(?= ?(?:GMT|UTC)\b))", _army_time
    ),
    rule(
        r"(?<![\w.,-])(0\d)([0-5]\d) ?- ?([01]\d|2[0-4])([0-5]\d)(?![\w-])",
        lambda m: f"{clock(m[1], m[2])} to {clock(m[3], m[4])}",
    ),
    rule(
        r"(?<![\w.,])(\d\d?)\.(00|15|30|45) ?- ?(\d\d?)\.(00|15|30|45)(?![\w.])",
        r"\1:\2-\3:\4",
    ),
    rule(r"(?<![\w.])([01]?\d|2[0-3])h([0-5]\d)(?! ?m|\w)", lambda m: clock(m[1], m[2])),
    rule(
        rf"\b((?:(?:{DAY})\.?,? |(?:[Oo]n|[Bb]y|[Dd]ue|[Ss]ince|[Uu]ntil) ))"
        r"(1[0-2]|0?[1-9]|[12]\d|3[01])/(3[01]|[12]\d|0?[1-9])(?![\w/]|\.\d| of\b)(?<!9/11)",
        _day_and_month,
    ),
    rule(rf"(?<![\w-])(\d{{1,2}})-({SHORT_MONTH_NAMES})-(\d{{4}}|\d\d)(?![\w-])", _named_month),
    rule(r"(?<![\w-])(\d\d)-(\d\d)-(\d{4})(?![\w-])", _slashed),
    rule(rf"(?<![\w/])(\d\d?)/(?=\d\d? (?:{MONTH_NAMES})\b)", r"\1-"),
    rule(
        rf"\b((?:{MONTH_NAMES})\.? (?:'\d\d|\d{{4}})) ?- ?(?=(?:\d\d? )?(?:{MONTH_NAMES})\b)",
        r"\1 to ",
    ),
    rule(
        rf"\b({any_of(name.capitalize() for name in SHORT_MONTHS)})\.? (?='\d\d\b)",
        lambda m: f"{full_month(m[1])} ",
    ),
    rule(
        r"(?i)\b(noon|midnight|dawn|dusk|sunrise) ?- ?(?=\d|noon|midnight|dusk|sunset)", r"\1 to "
    ),
    rule(rf"(?<![\w.,])(\d\d?)\.([0-5]\d)(?= ?{HALF_DAY})", r"\1:\2"),
    rule(rf"(?<![\w.])(\d\d?) ({MONTH_NAMES})\.? ?- ?(?=\d\d? (?:{MONTH_NAMES})\b)", r"\1 \2 to "),
    rule(rf"\b({MONTH_NAMES})\.? (\d\d?) ?- ?(?=(?:{MONTH_NAMES})\b)", r"\1 \2 to "),
    rule(r"(?<![\w.])(\d{1,3}) ?h ?(\d{1,2}) ?m(?:in)?(?: ?(\d{1,2}) ?s)?(?!\w)", _hours),
    rule(r"(?<![\w.])()(\d{1,3}) ?m(?:in)? ?(\d{1,2}) ?s(?:ec)?(?!\w)", _hours),
    rule(
        rf"\b({SHORT_MONTH_NAMES})\.?-({SHORT_MONTH_NAMES})\b\.?(?! ?\d)",
        lambda m: f"{full_month(m[1])} to {full_month(m[2])}",
    ),
    rule(
        rf"\b({DAY_OF_A_WEEK})\.?(?: ?- ?)({DAY_OF_A_WEEK})\b\.?",
        lambda m: f"{_day(m[1])} to {_day(m[2])}",
    ),
    rule(rf"\b({any_of(name.capitalize() for name in MONTHS)})-(?=({MONTH_NAMES})\b)", r"\1 to "),
    rule(
        rf"(?<!\b[Tt]he )\b({DAY_NAMES})(?:\.(?= ?[,\w]|$)|(?=,? [A-Z\d]))",
        lambda m: DAYS[m.group(1).lower()] + " ",
    ),
    rule(rf"\b({SURE_DAYS})\b(?!\.)(?= [a-z&]|[,;)]|$)", lambda m: DAYS[m[1].lower()]),
    rule(
        r"\b([Oo]n|[Uu]ntil|[Bb]y|[Ff]rom|next|last|every|each|&|and) (Mon|Wed|Sat|Sun)\b(?=\W|$)",
        lambda m: f"{m[1]} {DAYS[m[2].lower()]}",
    ),
    rule(r"(?i)\bdec\. (?=places?\b)", "decimal "),
    rule(r"\b(\d{4}-\d\d-\d\d)T(?=\d\d:\d\d)", r"\1 "),
    rule(r"(?<=:\d\d)Z\b", ""),
    rule(r"(?<![\w/-])(\d{4})([-/])(\d{1,2})\2(\d{1,2})(?![\w/-])", r"\1-\3-\4"),
    rule(r"(?<![\w/-])(\d{4})-(\d{1,2})-(\d{1,2})(?![\w/-])", _year_first),
    rule(r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)(?![\w/])", _slashed),
    rule(r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?![\w]|\.\d)", _dotted),
    rule(
        rf"(?<![\w:.])(\d{{1,2}}(?::\d\d)?(?: ?{HALF_DAY})?) ?- ?"
        rf"(?=\d{{1,2}}(?::\d\d|(?::\d\d)? ?{HALF_DAY}))",
        r"\1 to ",
    ),
    rule(r"(?<![\w.,:])1:(?=[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{3,8}(?!\w))", "one to "),  # a scale
    rule(
        rf"\b(\d\d?):(\d\d)(?::(\d\d(?:\.\d{{1,6}})?))?(?: ?({HALF_DAY}))?(?: ([ECMP])T\b)?", _time
    ),
    rule(
        rf"(?<![\w.])(\d\d?) ?({HALF_DAY})",
        lambda m: f" {cardinal(m.group(1))} {half_day(m.group(2))} ",
    ),
    rule(
        rf"\b({BIBLE}) (\d{{1,3}}):(?=\d)",
        r"\1 \2 ",
    ),
    rule(r"(?<![\w.:])(\d{1,3}):(\d{1,3})(?![\w:])", r"\1 to \2"),
    rule(
        rf"\b({MONTH_NAMES})\b\.? (\d\d?)(?:{ORDINAL_MARK})?(?: ?- ?(\d\d?)(?:{ORDINAL_MARK})?)?"
        r"(?:,? (\d{4}))?\b(?![:\d%]|[,.]\d)",
        _month_day,
    ),
    rule(
        rf"(?<![\w.])(\d\d?)(?:{ORDINAL_MARK})?(?: ?- ?(\d\d?)(?:{ORDINAL_MARK})?)? (?:of )?"
        rf"({MONTH_NAMES})\b\.?(?:,? (\d{{4}})\b)?",
        _day_month,
    ),
    rule(
        rf"\b({any_of(name.capitalize() for name in SHORT_MONTHS if name != 'may')})"
        r"(?:\.| (?=\d{4}\b))",
        lambda m: f"{full_month(m.group(1))} ",
    ),
)
