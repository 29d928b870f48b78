"""Money, measures and temperatures as words, from a table of currencies and one of units."""

from __future__ import annotations

import re

from .numbers import LONGEST, NUMBER, amount, cardinal, plural
from .rules import Rule, any_of, rule

CURRENCIES = {  # sign: unit, hundredth
    "$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent"), "¥": ("yen", ""),
    "₹": ("rupee", "paisa"), "₩": ("won", ""), "₽": ("ruble", "kopeck"), "₺": ("lira", ""),
    "₿": ("bitcoin", ""), "₴": ("hryvnia", ""), "₫": ("dong", ""), "₪": ("shekel", ""),
    "₦": ("naira", ""), "₱": ("peso", ""),
}  # fmt: skip
DOLLARS = {
    "US": "u s", "A": "australian", "AU": "australian", "C": "canadian", "CA": "canadian",
    "HK": "hong kong", "NZ": "new zealand", "S": "singapore",
}  # fmt: skip
CODES = {
    "USD": "u s dollar", "EUR": "euro", "GBP": "pound", "JPY": "yen", "CHF": "swiss franc",
    "CAD": "canadian dollar", "AUD": "australian dollar", "INR": "rupee", "CNY": "yuan",
    "SEK": "swedish krona", "NOK": "norwegian krone", "DKK": "danish krone", "RUB": "ruble",
    "KRW": "won", "MXN": "mexican peso", "BRL": "brazilian real", "HKD": "hong kong dollar",
    "NZD": "new zealand dollar", "SGD": "singapore dollar", "BTC": "bitcoin", "ZAR": "rand",
    "PLN": "zloty", "TRY": "lira", "THB": "baht",
}  # fmt: skip
SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "tn": "trillion",
          "b": "billion", "t": "trillion"}  # fmt: skip
UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "um": "micrometer",
    "nm": "nanometer", "mi": "mile", "yd": "yard", "ft": "foot", "nmi": "nautical mile",
    "kg": "kilogram", "g": "gram", "mg": "milligram", "ug": "microgram", "mcg": "microgram",
    "lb": "pound", "lbs": "pound", "oz": "ounce", "L": "liter", "l": "liter", "ml": "milliliter",
    "cl": "centiliter", "dl": "deciliter", "gal": "gallon", "Hz": "hertz", "kHz": "kilohertz",
    "MHz": "megahertz", "GHz": "gigahertz", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
    "TB": "terabyte", "PB": "petabyte", "kbps": "kilobit per second", "Mbps": "megabit per second",
    "Gbps": "gigabit per second", "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt",
    "mW": "milliwatt", "kWh": "kilowatt hour", "MWh": "megawatt hour", "Wh": "watt hour",
    "V": "volt", "kV": "kilovolt", "mV": "millivolt", "mA": "milliamp", "mAh": "milliamp hour",
    "dB": "decibel", "hPa": "hectopascal", "kPa": "kilopascal", "psi": "p s i", "kJ": "kilojoule",
    "mmHg": "millimeter of mercury", "kcal": "kilocalorie", "ppm": "part per million",
    "mph": "mile per hour", "kmh": "kilometer per hour", "kph": "kilometer per hour",
    "mpg": "mile per gallon", "rpm": "revolution per minute", "fps": "frame per second",
    "dpi": "dot per inch", "px": "pixel", "ms": "millisecond", "us": "microsecond",
    "ns": "nanosecond", "sec": "second", "secs": "second", "min": "minute", "mins": "minute",
    "tsp": "teaspoon", "tbsp": "tablespoon", "h": "hour", "hr": "hour", "hrs": "hour",
    "hp": "horsepower", "Ah": "amp hour", "kbit": "kilobit", "Mbit": "megabit", "Gbit": "gigabit",
    "sq ft": "square foot", "sq mi": "square mile",
    "sq km": "square kilometer", "sq m": "square meter", "cu ft": "cubic foot",
}  # fmt: skip
EXACT = frozenset(
    {"us", "mi", "gal", "hr", "hrs", "Ah"}
)  # in capitals, or with a capital, they mean others
ALONE = (
    "lb ml tsp tbsp km kg cm mph mpg kWh GHz MHz kHz kW MB GB TB".split()
)  # not oz: Oz is a name
PER = {"h": "hour", "hr": "hour", "s": "second", "sec": "second", "min": "minute", "d": "day"}
PER_WORDS = "second minute hour day night week month year person head student mile gallon unit"
LENGTHS = frozenset("millimeter centimeter meter kilometer inch foot yard mile".split())
LOWER = {**{name.lower(): unit for name, unit in UNITS.items() if len(name) > 1}}
SIGN = f"[{''.join(CURRENCIES)}]"
SCALE = r"(?: (?:thousand|million|billion|trillion)\b|(?:k|K|M|B|m|[bmt]n|b)\b)"
UNIT = "|".join(
    [
        f"(?i:{any_of(name for name in UNITS if len(name) > 1 and name not in EXACT)})",
        any_of([name for name in UNITS if len(name) == 1] + sorted(EXACT)),
    ]
)
NO_NOUN = (
    "of in on at for per a an the to and or is was are were will would can could with by from as "
    "than that which who when while if but so more less off each apiece up down away long wide "
    "tall high deep tax today now later ago"
).split()
_ARTICLE = re.compile(r"(?:^|\W)(?:[Aa]n?|[Ee]very|[Pp]er) $")
_THE = re.compile(r"(?:^|\W)(?:[Tt]he|[Tt]h(?:is|at)|[Hh]is|[Hh]er|[Ii]ts|[Oo]ur|[Tt]heir|[Mm]y) $")
_THING = re.compile(
    r"[ -](?:question|bill|deal|fine|prize|fund|budget|bailout|mark|loan|note|coin|reward|project|"
    r"lawsuit|settlement|investment|house|car|contract|target|limit|race|run|walk|drive|bag|line)\b"
)
_NOUN = re.compile(rf"[ -](?!(?:{'|'.join(NO_NOUN)})\b)[a-z]")


def describes_a_noun(match: re.Match[str]) -> bool:
    """Tell whether the measure stands before a noun, "a 10 kg bag", where its unit is singular."""
    text, first, last = match.string, match.start(), match.end()
    before = text[max(0, first - 7) : first]
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
    scale = (scale or "").strip().lower()
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


def _code_first(match: re.Match[str]) -> str:
    return _sum(match, match.group(2), match.group(3), CODES[match.group(1)], "")


def _code_last(match: re.Match[str]) -> str:
    return _sum(match, match.group(1), match.group(2), CODES[match.group(3)], "")


def unit_name(symbol: str) -> str:
    """Return the singular of a unit's symbol; capitals count only where they must."""
    return UNITS.get(symbol) or LOWER[symbol.lower()]


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


_START = r"(?<![\w.,])"
MONEY: tuple[Rule, ...] = (
    rule(rf"(?<=\d) ?/ ?(?=(?:{'|'.join(PER_WORDS.split())})\b)", " per "),
    rule(rf"(?<![\w.])-(?={SIGN} ?\.?\d)", " minus "),
    rule(rf"(?<![{''.join(CURRENCIES)}\d.,])({NUMBER}) ?({SIGN})(?! ?\d)", r"\2\1"),
    rule(rf"({SIGN}) ?({NUMBER}) ?- ?(?=\d)", r"\2 to \1"),
    rule(rf"(?<=[\dkKmMbBn]) ?- ?(?={SIGN})", " to "),
    rule(rf"({SIGN} ?{NUMBER}(?:{SCALE})?)/(?=[a-z]{{2,12}}\b)", r"\1 per "),
    rule(rf"({SIGN}) ?(?=\.\d)", r"\g<1>0"),
    rule(rf"(?:\b({any_of(DOLLARS)})(?=\$))?({SIGN}) ?({NUMBER})({SCALE})?", _money),
    rule(rf"\b({any_of(CODES)}) ?({NUMBER})({SCALE})?", _code_first),
    rule(rf"{_START}({NUMBER})({SCALE})? ?({any_of(CODES)})\b", _code_last),
    rule(rf"{SIGN}", lambda m: f" {plural(CURRENCIES[m.group()][0])} "),
)
MEASURES: tuple[Rule, ...] = (
    rule(rf"({NUMBER}) ?(bn|tn)\b", lambda m: f"{m[1]} {SCALES[m[2]]} "),
    rule(r"(\d\.\d{1,2})m (?=[a-z]{3,20}s\b|people\b|children\b)", r"\1 million "),
    rule(r"(?<![\w.])(\d{1,2}) ?st (?=\d{1,2} ?(?:lb|pound))", r"\1 stone "),
    rule(r"(?<![\w.^])-(?=\.?\d)", " minus "),
    rule(r"\b(\d{1,2})(\d\d)([pi])\b", _scan_lines),
    rule(r"\bay (3)([1-8]0)(?!\d)()", lambda m: f" ay{_scan_lines(m)}"),
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
    rule(r"(?<![\w'])(\d{1,2})' ?(\d{1,2}(?:\.\d)?)\"", _feet),
    rule(r"(?<![\w'])(\d{1,3}) ?ft\.? (\d{1,2}) ?in\b\.?", _feet),
    rule(r"\b([Aa]n?) (\d{1,3}(?:\.\d)?)\" ?(?=[A-Za-z])", r"\1 \2 inch "),
    rule(r"(?<!\d )(?<!\d and )(?<![\w./\"])(\d{1,2}/\d{1,2})\"(?!\w)", r"\1 inch "),
    rule(
        rf"({NUMBER})-({UNIT})(?![\w^/'-])\.?",
        _one_unit,
    ),
    rule(rf"(?<!\d )(?<!\d and )(?<![\d./])(\d{{1,2}}/\d{{1,2}}) ?({UNIT})(?![\w^/])", _one_unit),
    rule(
        rf"({NUMBER}) ?({UNIT})/(?=\d{{1,4}} ?(?:{UNIT})(?![\w^/]))",  # 5 L/100 km
        lambda m: f"{m[1]} {plural(unit_name(m[2]), m[1])} per ",
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
    rule(r"\bkm/h\b", "kilometers per hour"),
    rule(rf"\b({any_of(ALONE)})(?![\w'^])", lambda m: plural(unit_name(m.group()))),
    rule(rf"(?<![\w.,-])(\d{{4,{LONGEST}}}) ({any_of({*UNITS.values()})})", _as_amount),
    rule(r"(?<![\w.,])(\d{1,18}\.\d{1,18}|\d{0,17}[1-9]) ?s(?!\w)", r"\1 seconds "),
    rule(r"%", " percent "),
)
