"""Money, measures and temperatures as words, from a table of currencies and one of units."""

from __future__ import annotations

import re

from .numbers import LONGEST, NUMBER, amount, cardinal, plural
from .rules import Rule, any_of, rule
from .units import (
    ALONE,
    CODES,
    COUNTED,
    CURRENCIES,
    DOLLARS,
    LENGTHS,
    PER,
    PER_WORDS,
    SCALES,
    SPELLINGS,
    UNITS,
    VESSELS,
)

SIGN = f"[{''.join(CURRENCIES)}]"
SCALE = r"(?:[ -](?:thousand|million|billion|trillion|crore|lakh)\b| ?[bmt]n\b|(?:k|K|M|B|T|m|b)\b)"
UNIT = any_of(SPELLINGS)
NO_NOUN = (
    "of in on at for per a an the to and or is was are were will would can could with by from as "
    "than that which who when while if but so more less off each apiece up down away long wide "
    "tall high deep tax today now later ago until till since after before during while"
).split()
_ARTICLE = re.compile(r"(?:^|\W)(?:[Aa]n?|[Pp]er|[Aa]n? \d{1,3}-[a-z]{3,5},) $")
_THE = re.compile(r"(?:^|\W)(?:[Tt]he|[Tt]h(?:is|at)|[Hh]is|[Hh]er|[Ii]ts|[Oo]ur|[Tt]heir|[Mm]y) $")
_THING = re.compile(
    r"[ -](?:question|bill|deal|fine|prize|fund|budget|bailout|mark|loan|note|coin|reward|project|"
    r"lawsuit|settlement|investment|house|car|contract|target|limit|race|run|walk|drive|bag|line|"
    r"contract|battery|stage|trail|route|journey|trip|stretch|tower|screen|engine|motor|cable|"
    r"pipe|bridge|tunnel|gap|radius|zone|section|laser|lamp|charger|tank|pool|hole|hike|course)\b"
)
_NOUN = re.compile(rf"[ -](?!(?:{'|'.join(NO_NOUN)})\b)[a-z]")


def describes_a_noun(match: re.Match[str]) -> bool:
    """Tell whether the measure stands before a noun, "a 10 kg bag", where its unit is singular."""
    text, first, last = match.string, match.start(), match.end()
    before = text[max(0, first - 14) : first]
    article = _ARTICLE.search(before) and _NOUN.match(text, last)
    return bool(article or (_THE.search(before) and _THING.match(text, last)))


def _money(match: re.Match[str]) -> str:
    country, sign, number, scale = match.groups()
    unit, hundredth = CURRENCIES[sign]
    if country:
        unit = f"{DOLLARS[country]} {unit}"
    return _sum(match, number, scale, unit, hundredth)


def _sum(match: re.Match[str], number: str, scale: str | None, unit: str, hundredth: str) -> str:
    whole, _, cents = number.partition(".")
    scale = (scale or "").strip(" -").lower()
    noun = describes_a_noun(match)
    if scale or (cents and not (hundredth and len(cents) == 2)):
        scaled = f" {SCALES.get(scale, scale)}" if scale else ""
        return f" {amount(number)}{scaled} {unit if noun else plural(unit)} "
    small = int(cents or 0)
    large = "" if set(whole) <= {"0", ","} and small else whole
    words = f" {cardinal(whole)} {unit if noun else plural(unit, whole)} " if large else " "
    if not small:
        return words
    return (
        f"{words}{'and ' if large else ''}{cardinal(str(small))} {plural(hundredth, str(small))} "
    )


def _same_scale(match: re.Match[str]) -> str:
    """Leave the first sign out of "$1.2 to $1.5 million", whose scale holds for both."""
    sign, first, rest = match.groups()
    second = re.search(_SIDE, rest)
    if second is None or float(first) > float(second.group()):
        return match.group()
    return f"{first}{rest}"


def _code_first(match: re.Match[str]) -> str:
    return _sum(match, match.group(2), match.group(3), CODES[match.group(1)], "")


def _code_last(match: re.Match[str]) -> str:
    return _sum(match, match.group(1), match.group(2), CODES[match.group(3)], "")


def unit_name(symbol: str) -> str:
    """Return the singular of a unit's symbol."""
    return SPELLINGS[symbol]


def _measure(match: re.Match[str]) -> str:
    number, symbol, power, per, per_power = match.groups()
    unit = unit_name(symbol)
    if power:
        unit = f"{'square' if power == '2' else 'cubic'} {unit}"
    squared = ""
    if per:
        under = PER.get(per) or (per if per in PER_WORDS.split() else unit_name(per))
        if per_power and under in LENGTHS:  # per cubic meter, but per second squared
            under = f"{'square' if per_power == '2' else 'cubic'} {under}"
        elif per_power:
            squared = " squared" if per_power == "2" else " cubed"
        unit += f" per {under}"
    name = unit if describes_a_noun(match) else plural(unit, number)
    return f"{number} {name}{squared} " if per else f"{number} {name} "


def _per_and_per(match: re.Match[str]) -> str:
    return f"{match.group(1)} per {PER.get(match.group(2)) or SPELLINGS.get(match.group(2), 'day')}"


def _bare_unit(match: re.Match[str]) -> str:
    symbol, per, power = match.groups()
    under = PER.get(per) or SPELLINGS.get(per, per)
    if power:
        under = f"{'square' if power == '2' else 'cubic'} {under}"
    return f"{plural(unit_name(symbol))} per {under} "


def _one_unit(match: re.Match[str]) -> str:
    return f"{match.group(1)} {unit_name(match.group(2))} "


def _as_amount(match: re.Match[str]) -> str:
    """Read a number before a unit at once, so that 1500 is no year."""
    return f" {amount(match.group(1))} {match.group(2)}"


def _scan_lines(match: re.Match[str]) -> str:
    """Read 1080p as "ten eighty p", and a 737 jet the same way."""
    low = cardinal(match.group(2)).replace("zero", "oh")
    return f" {cardinal(match.group(1))} {low} {match.group(3)} "


SCALES_OF_HEAT = {"C": "celsius", "F": "fahrenheit", "K": "kelvin"}
QUARTERS = {"N": "north", "S": "south", "E": "east", "W": "west"}


def _degrees(match: re.Match[str]) -> str:
    number, scale = match.groups()
    degrees = "degree" if number == "1" or describes_a_noun(match) else "degrees"
    said = amount(number) if len(number) == 4 else number
    return f"{said} {degrees} {SCALES_OF_HEAT.get(scale or '', '')} "


def _position(match: re.Match[str]) -> str:
    names = ("degree", "minute", "second")
    said = [
        f"{amount(number)} {plural(name, number)}"
        for number, name in zip(match.groups()[:3], names, strict=True)
        if number
    ]
    return f" {' '.join(said)} {QUARTERS.get(match.group(4) or '', '')} "


def _feet(match: re.Match[str]) -> str:
    feet, inches = match.groups()
    return f" {cardinal(feet)} {plural('foot', feet)} {amount(inches)} {plural('inch', inches)} "


def _feet_or_minutes(match: re.Match[str]) -> str:
    first, second = match.groups()
    if float(second) < INCHES_OF_A_FOOT:
        return _feet(match)
    return (
        f" {cardinal(first)} {plural('minute', first)} {amount(second)} {plural('second', second)} "
    )


def _inches(match: re.Match[str]) -> str:
    """Read 6" as inches, unless the mark closes a quotation."""
    before = match.string[max(0, match.start() - QUOTED) : match.start()]
    if before.rpartition("\n")[2].count('"') % 2:
        return match.group()
    name = "inch" if describes_a_noun(match) else plural("inch", match.group(1))
    return f" {match.group(1)} {name} "


def _same_or_per(match: re.Match[str]) -> str:
    """Read the stroke of 5 L/100 km as "per"; 200g/7oz is the same twice."""
    number, symbol, second = match.groups()
    per = " per " if second.replace(",", "").strip("0") == "1" else ", "
    return f"{number} {plural(unit_name(symbol), number)}{per}"


INCHES_OF_A_FOOT = 12
QUOTED = 240  # letters in front of an inch mark in which a quotation may begin
_START = r"(?<![\w.,])"
_SIDE = r"\d{1,4}(?:\.\d{1,2})?"
_SPACED_UNIT = any_of(name for name in SPELLINGS if len(name) > 1)
_WARMTH = (
    r"near|lows?|highs?|hit|hits|reach(?:ed|es|ing)?|below|above|around|about|of|minus|"
    r"(?:up|down|rise|rose|fall|fell|drop|dropped|climb|climbed|soar|soared|warm|heat|cool) to"
)
MONEY: tuple[Rule, ...] = (
    rule(rf"(?<=\d) ?/ ?(?=(?:{'|'.join(PER_WORDS.split())})\b)", " per "),
    rule(rf"(?<![\w.])-(?={SIGN} ?\.?\d)", " minus "),
    rule(rf"(?<![{''.join(CURRENCIES)}\d.,])({NUMBER}) ?({SIGN})(?! ?\d)", r"\2\1"),
    rule(rf"({SIGN}) ?({NUMBER}) ?- ?(?=\d)", r"\2 to \1"),
    rule(
        rf"({SIGN})(\d{{1,3}}(?:\.\d{{1,2}})?)((?: (?:to|and|or) | ?- ?)\1\d{{1,3}}(?:\.\d{{1,2}})?"
        r"(?: (?:m|b|tr)illion| ?[bmt]n)\b)",
        _same_scale,
    ),
    rule(rf"(?<=[\dkKmMbBn]) ?- ?(?={SIGN})", " to "),
    rule(
        rf"((?:{SIGN} ?{NUMBER}(?:{SCALE})?|\bcents)) ?/({_SPACED_UNIT})(?![\w/])",
        lambda m: f"{m[1]} per {unit_name(m[2])} ",
    ),
    rule(rf"({SIGN} ?{NUMBER}(?:{SCALE})?)/(?=[a-z]{{2,12}}\b)", r"\1 per "),
    rule(
        rf"({SIGN})/(?:({_SPACED_UNIT})|(?=[a-z]))",
        lambda m: f" {plural(CURRENCIES[m[1]][0])} per {unit_name(m[2]) if m[2] else ''} ",
    ),
    rule(r"\bRs\.? ?(?=\d)", "₹"),
    rule(rf"({SIGN}) ?(?=\.\d)", r"\g<1>0"),
    rule(rf"(?:\b({any_of(DOLLARS)})(?=\$))?({SIGN}) ?({NUMBER})({SCALE})?", _money),
    rule(rf"\b({any_of(CODES)}) ?({NUMBER})({SCALE})?", _code_first),
    rule(rf"{_START}({NUMBER})({SCALE})? ?({any_of(CODES)})\b", _code_last),
    rule(rf"{SIGN}", lambda m: f" {plural(CURRENCIES[m.group()][0])} "),
)
MEASURES: tuple[Rule, ...] = (
    rule(
        rf"(?<=\d)( ?(?:{UNIT})) ({UNIT}|{any_of(PER)})\^-([123])(?!\d)",  # km s⁻¹
        lambda m: f"{m[1]}/{m[2]}" + (f"^{m[3]}" if m[3] != "1" else ""),
    ),
    rule(r"\b(sq|cu|fl)\. ?(?=(?:ft|in|mi|m|km|yd|oz)\b)", r"\1 "),
    rule(r"(?<=\d)(?:in(?![\w-])|-in\.?(?= [a-z]))", " inches"),
    rule(rf"({_START}\d{{3}})([CF])\b", r"\1°\2"),
    rule(rf"({_START}\d{{1,3}} ?- ?\d{{1,3}})([CF])\b", r"\1°\2"),
    rule(rf"(?i:(\b(?:{_WARMTH}) |(?<!\w)-)(\d{{1,2}}))([CF])\b", r"\1\2°\3"),
    rule(rf"({_START}\d\d)([CF])(?= ?[/(]\d{{2,3}}°?[CF])", r"\1°\2"),
    rule(r"\b(\d{1,3}) ?degrees ([CF])\b", r"\1°\2"),
    rule(r"(°[CF] ?[(/] ?-?\d{1,3})([CF])\b", r"\1°\2"),
    rule(rf"(?<=\d)( ?(?:{UNIT})/(?:{UNIT}))/({UNIT}|{any_of(PER)}|day)(?!\w)", _per_and_per),
    rule(r"(?<=\d) y(?=[,;)]|$| (?!=|[-+*/]))", " years"),
    rule(r"(?<![\d/])((?:\d{1,2} and )?\d/\d|1) c\. (?=[a-z])", r"\1 cup "),
    rule(r"(\d) c\. (?=[a-z])", r"\1 cups "),
    rule(r"(?<![\w.,])(\d{1,18}) s(?![\w'])", r"\1 seconds "),
    rule(rf"({NUMBER}) ?(bn|tn)\b", lambda m: f"{m[1]} {SCALES[m[2]]} "),
    rule(r"(\d\.\d{1,2})m (?=[a-z]{3,20}s\b|people\b|children\b)", r"\1 million "),
    rule(rf"(?<=\d)m (?=(?:{COUNTED})\b)", " million "),
    rule(r"(?<=\d)pc(?!\w)", " percent "),
    rule(r"(?<=\d)pp(?!\w)", " percentage points "),
    rule(
        r"(?<![\w.,])(\d{1,3})s (?=(?:timer|delay|video|clip|ad|rest|break|lead)\b)", r"\1 second "
    ),
    rule(
        rf"({NUMBER})([MBT]) (?=[a-z]{{3,20}}s\b|people\b|children\b|women\b|men\b)",
        lambda m: f"{m[1]} {SCALES[m[2].lower()]} ",
    ),
    rule(r"(?<=\d)x ?(?=/|(?:an?|per|daily|weekly|monthly)\b)", " times "),
    rule(
        rf"{_START}(\d{{1,2}}) ?[x×] ?({NUMBER}) ?({UNIT}) (?=(?:{VESSELS})\b)",
        lambda m: f"{m[1]} {m[2]} {unit_name(m[3])} ",
    ),
    rule(r"(?<![\w.])(\d{1,2}) ?st (?=\d{1,2} ?(?:lb|pound))", r"\1 stone "),
    rule(r"(?<![\w.^])-(?=\.?\d)", " minus "),
    rule(r"\b(\d{1,2})(\d\d)([pi])\b", _scan_lines),
    rule(r"\bay (3)([1-8]0)(?!\d)()-?", lambda m: f" ay{_scan_lines(m)}"),
    rule(r"(?<=\bBoeing )(7)(\d7)()\b-?", _scan_lines),
    rule(r"(?<=\bBoeing's )(7)(\d7)()\b-?", _scan_lines),
    rule(r"\b(7)(\d7)( (?:jet|jumbo|airliner|plane|aircraft)s?)\b", _scan_lines),
    rule(
        rf"(?i)\b(force|thrust|load|tension|weight)( of| is| was) ({NUMBER}) ?N\b(?!\.\w)",
        lambda m: f"{m[1]}{m[2]} {m[3]} {plural('newton', m[3])} ",
    ),
    rule(
        r"(\d{1,3}(?:\.\d{1,9})?)° ?(?:(\d{1,2}(?:\.\d{1,9})?)' ?)?"
        r"(?:(\d{1,2}(?:\.\d{1,9})?)\" ?)?([NSEW])\b",
        _position,
    ),
    rule(r"(\d{1,3})° ?(\d{1,2}(?:\.\d{1,9})?)' ?(?:(\d{1,2}(?:\.\d{1,9})?)\" ?)?()", _position),
    rule(rf"({NUMBER}) ?°(?: ?([CFK])\b)?", _degrees),
    rule(
        rf"({_SIDE})(?:'|ft) ?[x×] ?({_SIDE})(?:'|ft)(?!\w)",
        lambda m: f"{m[1]} feet by {m[2]} feet ",
    ),
    rule(
        rf"({_SIDE})(?:\"|in) ?[x×] ?({_SIDE})(?:\"|in)(?!\w)",
        lambda m: f"{m[1]} inches by {m[2]} inches ",
    ),
    rule(r"(?<![\w'])(\d{1,2})' ?(\d{1,2}(?:\.\d)?)\"", _feet_or_minutes),
    rule(r"(?<![\w'])([3-8])'(\d|1[01])(?![\w'\".,]|-\d)", _feet),
    rule(
        r"(?<![\w'.])(\d{1,3})'(?= (?:tall|high|long|wide|deep|by|of)\b)",
        lambda m: f"{m[1]} {plural('foot', m[1])} ",
    ),
    rule(r"(?<![\w'])(\d{1,3}) ?ft\.? (\d{1,2}) ?in\b\.?", _feet),
    rule(r"\b([Aa]n?) (\d{1,3}(?:\.\d)?)\" ?(?=[A-Za-z])", r"\1 \2 inch "),
    rule(r"(?<!\d )(?<!\d and )(?<![\w./\"])(\d{1,2}/\d{1,2})\"(?!\w)", r"\1 inch "),
    rule(rf"(?<![\w.,/])({_SIDE})\"(?!\w)", _inches),
    rule(
        rf"(?<![A-Za-z]-)({NUMBER})-({UNIT})(?![\w^/'])(?!-(?!old|long|high|wide|deep))\.?",
        _one_unit,
    ),
    rule(rf"(?<=\d)( ?(?:{_SPACED_UNIT})\.?) ?- ?(?={NUMBER} ?(?:{UNIT})(?!\w))", r"\1 to "),
    rule(r"(?<![\w.])(\d{1,2}) ?h ?- ?(?=\d{1,2} ?h\b)", r"\1 hours to "),
    rule(rf"(?<!\d )(?<!\d and )(?<![\d./])(\d{{1,2}}/\d{{1,2}}) ?({UNIT})(?![\w^/])", _one_unit),
    rule(
        rf"({NUMBER}) ?({UNIT})/(?=({NUMBER})(?: and \d/\d)? ?(?:{UNIT})(?![\w^/]))",
        _same_or_per,
    ),
    rule(
        rf"(?<=\d) ?[x×] ?(?={NUMBER} ?(?:{UNIT})(?![\w^/]))",  # 4×400 m, 2 × 3 cm
        " by ",
    ),
    rule(
        rf"{_START}({NUMBER}) t(?![\w'^/-])",
        lambda m: f"{m[1]} {'tonne' if describes_a_noun(m) else plural('tonne', m[1])} ",
    ),
    rule(
        rf"({NUMBER}) ?({UNIT})(?:\^([23]))?(?:/({any_of(PER_WORDS.split())}|{UNIT}|{any_of(PER)})"
        r"(?:\^([23]))?)?"
        r"(?![\w^/])(?:\.(?= ?[a-z,;)]))?",
        _measure,
    ),
    rule(
        rf"(?<=illion )({UNIT})(?![\w^/])",
        lambda m: plural(unit_name(m.group())),
    ),
    rule(r"\b(meters|feet|inches|centimeters|millimeters|pixels) {1,2}x ?(?=\d)", r"\1 by "),
    rule(rf"\b([Oo]ne|an?|per) ({any_of(ALONE)})(?![\w'^])", _one_unit),
    rule(
        rf"(?<![\w/])({_SPACED_UNIT})/({UNIT}|{any_of(PER)}|{any_of(PER_WORDS.split())})"
        r"(?:\^([23]))?(?![\w/^])",
        _bare_unit,
    ),
    rule(
        rf"(?<=[a-z]s) ?/ ?({_SPACED_UNIT}|{any_of(PER_WORDS.split())})(?![\w/'])",
        lambda m: f" per {SPELLINGS.get(m[1], m[1])} ",
    ),
    rule(rf"\b(?!GB\b)({any_of(ALONE)})(?![\w'^])", lambda m: plural(unit_name(m.group()))),
    rule(rf"(?<![\w.,-])(\d{{4,{LONGEST}}}) ({any_of({*UNITS.values()})})", _as_amount),
    rule(r"(?<![\w.,])(?<![A-Za-z]-)(\d{1,18}\.\d{1,18}|\d{0,17}[1-9]) ?s(?!\w)", r"\1 seconds "),
    rule(r"%", " percent "),
)
