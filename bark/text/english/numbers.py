"""Numbers as words: cardinals, ordinals, years, fractions, ranges, powers, digit by digit."""

from __future__ import annotations

import re

from .rules import Rule, any_of, rule

MAX_DIGITS = 12  # longer numbers, and those that begin with 0, are read digit by digit
LONGEST = 18  # digits in one run that patterns look at; longer runs are read before all else
DIGIT_NAMES = "zero one two three four five six seven eight nine".split()
WHOLE = rf"(?:\d{{1,3}}(?:,\d{{3}}){{1,5}}(?![\d])|\d{{1,{LONGEST}}})"
NUMBER = rf"{WHOLE}(?:\.\d{{1,{LONGEST}}})?"  # without groups, so that rules may number their own
ORDINAL_MARK = r"(?:st|nd|rd|th)"
YEARS = range(1100, 2100)  # four digits that are read as a year wherever they stand
IRREGULAR_PLURALS = {"penny": "pence", "yen": "yen", "won": "won", "foot": "feet", "inch": "inches"}
UNCHANGED = ("hertz", "baht", "rand", "p s i", "horsepower", "c c", "percent", "molar", "dozen")


def cardinal(digits: str) -> str:
    """Return "42" or "2,500" in words, with "and" before the tens, as num2words has it."""
    from num2words import num2words

    digits = digits.replace(",", "")
    if len(digits) > MAX_DIGITS or (digits.startswith("0") and len(digits) > 1):
        return by_digit(digits)
    return str(num2words(int(digits))).replace(",", "").replace("-", " ")


def ordinal(digits: str) -> str:
    """Return "21" as "twenty first"."""
    from num2words import num2words

    digits = digits.replace(",", "")
    if len(digits) > MAX_DIGITS:
        return by_digit(digits)
    return str(num2words(int(digits), to="ordinal")).replace(",", "").replace("-", " ")


def by_digit(text: str) -> str:
    """Return the digits of `text` one by one; anything else in it is passed over."""
    return " ".join(DIGIT_NAMES[int(digit)] for digit in text if digit.isdigit())


def by_groups(text: str) -> str:
    """Return a telephone number: digit by digit, a pause between its groups."""
    return " " + ", ".join(map(by_digit, re.findall(r"\d+", text))) + " "


def amount(number: str) -> str:
    """Return a quantity such as "1,500" or "3.25": never as a year, decimals digit by digit."""
    whole, _, decimals = number.partition(".")
    return cardinal(whole) + (f" point {by_digit(decimals)}" if decimals else "")


def year(digits: str) -> str:
    """Return "nineteen ninety two", "nineteen oh five" or "two thousand and one"."""
    value = int(digits)
    if not (value in YEARS or 1010 <= value < 1100):
        return cardinal(str(value))
    high, low = divmod(value, 100)
    if low == 0 and high % 10 == 0 or 2000 <= value < 2010:
        return cardinal(digits)
    if low == 0:
        return f"{cardinal(str(high))} hundred"
    return f"{cardinal(str(high))} {'oh ' if low < 10 else ''}{cardinal(str(low))}"


def plain(number: str) -> str:
    """Return a number that nothing around explains: a year when it looks like one."""
    if len(number) == 4 and number.isdigit() and int(number) in YEARS:
        return year(number)
    return amount(number)


def plural(unit: str, number: str = "2") -> str:
    """Return `unit` as it follows `number`: "mile per hour" → "miles per hour"."""
    if number == "1":
        return unit
    head, per, rest = unit.partition(" of " if " of " in unit else " per ")
    *front, last = head.split()
    if last in IRREGULAR_PLURALS:
        last = IRREGULAR_PLURALS[last]
    elif not unit.endswith(UNCHANGED):
        last += "s"
    return " ".join([*front, last]) + per + rest


def _decade(match: re.Match[str]) -> str:
    """Read 1990s, 1900s, 2000s and 80s."""
    century, ten = match.groups()
    if ten == "0":
        return " two thousands " if century == "20" else f" {cardinal(century)} hundreds "
    tens = "tens" if ten == "1" else cardinal(ten + "0").removesuffix("y") + "ies"
    return f" {cardinal(century) if century else ''} {tens} "


ROUND = {"10": "tens", "100": "hundreds", "1000": "thousands", "1,000": "thousands",
         "10,000": "tens of thousands", "100,000": "hundreds of thousands"}  # fmt: skip
SHARES = {2: "half", 4: "quarter"}
DENOMINATORS = frozenset([*range(2, 21), 25, 30, 32, 40, 50, 60, 64, 100, 1000])
SET_PAIRS = frozenset({"24/7", "50/50", "20/20", "9/11", "60/40", "80/20"})


def _out_of(match: re.Match[str]) -> str:
    return f"{amount(match.group(1))} out of {cardinal(match.group(2))}"


def _several(number: str) -> str:
    """Return "twenty twos", "sixties", "sixes"."""
    if number.endswith("y"):
        return number[:-1] + "ies"
    return number + ("es" if number.endswith("x") else "s")


def _fraction(match: re.Match[str]) -> str:
    """Read 3/4 as "three quarters", 24/7 as "twenty four seven", 120/80 with "over"."""
    count, of = match.groups()
    if match.group() in SET_PAIRS:
        return f" {cardinal(count)} {cardinal(of)} "
    if int(count) >= int(of) or int(of) not in DENOMINATORS:
        return f" {amount(count)} over {amount(of)} "
    name = SHARES.get(int(of)) or ordinal(of)
    halves = "halves" if name == "half" else plural(name)
    return f" {cardinal(count)} {name if count == '1' else halves} "


def _between(match: re.Match[str]) -> str:
    """Read the dash between two numbers: "minus" in a calculation, else "to"."""
    text, first, last = match.string, match.start(), match.end()
    nearby = re.split(r"[;,()]", text[max(0, first - 24) : first])[-1]
    nearby += re.split(r"[;,()]", text[last : last + 24])[0]
    if "=" in nearby:
        return " minus "
    before = re.search(rf"{NUMBER}$", text[max(0, first - LONGEST) : first])
    after = re.match(NUMBER, text[last : last + LONGEST])
    spaced = match.group().startswith(" ") and match.group().endswith(" ")
    falls = before and after and _value(before.group()) > _value(after.group())
    return " minus " if spaced and falls else " to "


def _taken_away(match: re.Match[str]) -> str:
    """Read the spaced dash behind a letter or a bracket: "minus" in a calculation only."""
    nearby = match.string[max(0, match.start() - 24) : match.end() + 24]
    return " minus " if "=" in nearby else ", "


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def _power(match: re.Match[str]) -> str:
    sign, digits = match.groups()
    if not sign and digits in ("2", "3"):
        return " squared " if digits == "2" else " cubed "
    return f" to the power of {'minus ' if sign == '-' else ''}{cardinal(digits)} "


def _scientific(match: re.Match[str]) -> str:
    number, sign, power = match.groups()
    power = power.lstrip("0") or "0"
    minus = "minus " if sign == "-" else ""
    return f" {amount(number)} times ten to the power of {minus}{cardinal(power)} "


def _with_commas(match: re.Match[str]) -> str:
    return re.sub(r"[ '.]", ",", match.group())


def _version(match: re.Match[str]) -> str:
    """Read 3.11.2: numbers with points between."""
    return f" {' point '.join(map(cardinal, match.group().split('.')))} "


def _named_year(match: re.Match[str]) -> str:
    digits = match.group(2)
    if int(digits) < YEARS.stop:
        return match.group()
    return f"{match.group(1)} {cardinal(digits[:2])} {cardinal(digits[2:])} "


FIRST: tuple[Rule, ...] = (  # before any other rule looks at digits
    rule(rf"\d{{{LONGEST + 1},}}", lambda m: f" {by_digit(m.group())} "),
    rule(r"\+ ?/ ?-", "±"),
    rule(r"~ ?(?=[\d.$£€])", " about "),
    rule(r"(?<=[\da-z])- (?=(?:to|and|or) )", " "),  # 3- to 4-day
    rule(r"\b(T)-(?=\d)", r"\1 minus "),
)
THOUSANDS: tuple[Rule, ...] = (  # after telephone numbers and dates
    rule(r"(?<![\w.,'/:-])[1-9]\d{0,2}(?:(?: \d{3}){1,5}|(?:'\d{3}){1,5})(?![\w])", _with_commas),
    rule(r"(?<![\w.,])[1-9]\d{0,2}(?:\.\d{3}){2}(?![\w.])", _with_commas),
    rule(
        r"(?<![\w.,])([1-9]\d{0,2}(?:\.\d{3}){1,4}),(\d\d)(?![\w,])",
        lambda m: f"{m[1].replace('.', '')}.{m[2]}",
    ),
    rule(r"(€ ?\d{1,6}),(\d\d)(?![\w,])", r"\1.\2"),
    rule(r"(?<![\w.,])(\d{1,3}),(\d{1,2})(?= ?(?:€|%|°|EUR\b|[kcm]m\b|kg\b))", r"\1.\2"),
)
NUMBERED = (
    "routes?|road|highway|exit|seats?|gate|room|flat|unit|row|platform|building|terminal|floor|line|"
    "track|suite|page|figure|table|section|class|grade|size|channel|bus|house|apartment"
)
SHARED: tuple[Rule, ...] = (  # a hyphen or a stroke that joins a number to what stands beside it
    rule(r"(?<![\w/])((?:1[1-9]|20)?\d0s) ?[-/] ?(?='?\d{2,4}s\b)", r"\1 to "),
    rule(r"\b([Tt]he )'?00s\b", r"\1two thousands"),
    rule(r"\b((?:1\d|20)\d\d) ?- ?(?=(?:present|now|today|date)\b)", r"\1 to "),
    rule(r"(?i)\b(number )(\d{1,3})-(?=\d{3,8}(?![\w-]))", r"\1\2, "),
    rule(r"\b([A-Z]{2,6}-\d{1,6})-(?=\d)", r"\1 "),
    rule(r"\bx86-(?=64)", "x86 "),
    rule(
        r"(?i)\b(lap|page|part|day|game|round|step|slide|week) (\d{1,3})/(?=\d{1,3}\b)",
        r"\1 \2 of ",
    ),
    rule(r"(?<![\w/])(\d{1,2}/\d{1,2})(?:th|rd|nd)s?\b", r"\1"),
    rule(
        rf"(?i)\b({NUMBERED}) (\d{{1,4}})((?-i:[A-Z]))\b",
        lambda m: f"{m[1]} {m[2]} {'ay' if m[3] == 'A' else m[3]}",
    ),
    rule(r"(?<![\w/-])(\d{1,3})-(?=\d{1,2}/\d{1,2}(?![\w/]))", r"\1 "),
    rule(
        r"(?<![\d/])([2-9]|12)/([248]|16)(?=[ -](?:time|meter|metre|beat|rhythm)\b)",
        lambda m: f"{cardinal(m[1])} {cardinal(m[2])}",
    ),
    rule(r"(?<![\w/.])(\d{1,2}\.\d)/(5|10|100)(?![\w/])", _out_of),
    rule(r"(?<![\w/.])(\d{1,3})/(\1|5|10|100)(?= (?:stars?|rating|points|marks|score)\b)", _out_of),
    rule(r"(?<![\w/.])(5|10|100)/(\1)(?![\w/])", _out_of),
    rule(
        r"(?i)\b((?:code|pin|passcode|otp)(?: is|:)? )(\d{4,8})(?![\w.,-])",
        lambda m: m[1] + by_digit(m[2]),
    ),
    rule(
        r"(?<=[A-Za-z]-)(\d{1,3})s\b",  # under-5s, B-52s
        lambda m: f" {_several(cardinal(m[1]))} ",
    ),
)
RULES: tuple[Rule, ...] = (
    rule(r"(?<![\w])(1[1-9]|20)(\d)0'?s\b", _decade),
    rule(r"(?<![\w.,])'?()([1-9])0'?s\b", _decade),
    rule(r"\b(\d{1,3})ers\b", lambda m: f" {cardinal(m[1]).removesuffix('e')}ers "),
    rule(r"(?<=\d\d)-0(\d)(?![\w-])", lambda m: f" to oh {by_digit(m[1])} "),
    rule(r"\b([Yy]ear) ([1-9]\d[1-9]\d)(?![\w,.-])", _named_year),
    rule(rf"(\d{ORDINAL_MARK}) ?- ?(?=\d{{1,12}}{ORDINAL_MARK})", r"\1 to "),
    rule(r"(?<![\w/])((?:19|20)\d\d)/(?=\d\d(?![\w/]))", r"\1 "),
    rule(rf"(?<![\w.,])({any_of(ROUND)})s\b", lambda m: f" {ROUND[m.group(1)]} "),
    rule(rf"(?<![\d.])({WHOLE}){ORDINAL_MARK}\b", lambda m: f" {ordinal(m.group(1))} "),
    rule(rf"({NUMBER}) ?[x*×] ?10\^([-+]?)(\d{{1,4}})(?!\d)", _scientific),
    rule(r"(?<![\w.])(\d{1,18}(?:\.\d{1,18})?)[eE]([-+]?)(\d{1,3})(?!\w)", _scientific),
    rule(r"(?<=[\w)])\^([-+]?)(\d{1,12})(?!\d)", _power),
    rule(r"(?<=\d) ?x ?(?=\d)", " by "),
    rule(r"(?<=\d) ?\* ?(?=\d)", " times "),
    rule(r"(?<=\d) ?×", " times "),
    rule(r"(?<=\d) / (?=\d)", " divided by "),
    rule(
        r"(?i)\b(rat(?:ed|ing of)|scor(?:ed?|e of)|gave it|got) (\d{1,3})/(5|10|20|100)(?![\d/])",
        lambda m: f"{m.group(1)} {cardinal(m.group(2))} out of {cardinal(m.group(3))} ",
    ),
    rule(r"(?i)\b(odds(?: of| were| are| at)? )(\d{1,3})/(?=\d{1,3}(?![\d/]))", r"\1\2 to "),
    rule(r"(?<![\d/])(\d{1,6}) (?=\d{1,2}/\d{1,4}(?![\d/]))", r"\1 and "),
    rule(r"(?<![\d./])(\d{1,4})/([1-9]\d{0,3})(?![\d/]|\.\d)", _fraction),
    rule(r"(?<=\d)/(?=\d|[A-Za-z]\b)", " over "),
    rule(r"(?<![\w.,-])\d{1,8}(?:-\d{1,8}){2,8}(?![\w-])", lambda m: by_groups(m.group())),
    rule(r"(?<![\w.,-])24-7(?![\w-])", " twenty four seven "),
    rule(r"(?<![\w/])24/7/365(?!\w)", " twenty four seven three sixty five "),
    rule(r"(?<=\d)! ?(?=[=+*/])", " factorial "),
    rule(r"(?<=\d)(?: - | ?-|- )(?=\d)", _between),
    rule(r"(?<=[A-Za-z)]) {1,2}- (?=\d|[a-z]\b)", _taken_away),
    rule(r"(?<![\w.])-(?=\.?\d)", " minus "),
    rule(r"(?<![\w.])\d{1,9}(?:\.\d{1,9}){2,9}(?![\w.]*\d)", _version),
    rule(r"(?<![\w.])\.(\d{1,18})", lambda m: f" point {by_digit(m.group(1))} "),
    rule(r"(?<!\w)'0(\d)(?!\d)", lambda m: f" oh {by_digit(m.group(1))} "),
    rule(
        r"(?i)\b(in|since|by|until|till|from|before|after|around|circa|year|to) (10[1-9]\d)"
        r"(?![\w%-]|[,.]\d)",
        lambda m: f"{m.group(1)} {year(m.group(2))} ",
    ),
    rule(rf"({NUMBER})'s\b", lambda m: f" {plain(m[1])}'s "),
    rule(NUMBER, lambda m: f" {plain(m.group())} "),
)
