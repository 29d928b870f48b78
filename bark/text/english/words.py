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
    "mt": "mount", "esq": "esquire", "cpl": "corporal", "pvt": "private", "adm": "admiral",
    "cmdr": "commander", "cdr": "commander", "supt": "superintendent", "insp": "inspector",
    "brig": "brigadier", "amb": "ambassador", "atty": "attorney", "asst": "assistant",
    "mgr": "manager", "msgr": "monsignor", "pfc": "private first class", "ald": "alderman",
    "intl": "international", "natl": "national", "assoc": "association", "bldg": "building",
    "mfg": "manufacturing", "mgmt": "management", "avg": "average", "qty": "quantity",
    "pkg": "package", "attn": "attention", "cont": "continued", "acct": "account",
    "amt": "amount", "admin": "administration", "rte": "route", "cnr": "corner",
    "hosp": "hospital", "max": "maximum", "resp": "respectively",
    "dist": "district", "div": "division", "temp": "temperature", "fwd": "forward",
    "encl": "enclosed", "vols": "volumes", "eds": "editors", "chs": "chapters",
    "arr": "arrives", "dep": "departs",
    "messrs": "messieurs", "viz": "namely", "cf": "compare", "al": "al",
    "ca": "circa", "tel": "telephone", "feat": "featuring", "govt": "government",
    "assn": "association", "incl": "including", "excl": "excluding", "misc": "miscellaneous",
}  # fmt: skip
BEFORE_A_NUMBER = {
    "no": "number", "nos": "numbers", "p": "page", "pp": "pages", "vol": "volume", "fig": "figure",
    "figs": "figures", "ch": "chapter", "sec": "section", "ed": "edition", "eq": "equation",
    "c": "circa", "art": "article", "ext": "extension", "para": "paragraph", "tab": "table",
    "est": "established", "ste": "suite", "apt": "apartment", "rs": "rupees", "lv": "level",
    "ver": "version", "cat": "category", "prop": "proposition", "op": "opus", "plat": "platform",
    "rm": "room", "cl": "clause", "reg": "regulation", "exp": "expires", "ref": "reference",
    "bk": "book", "pt": "part", "sect": "section", "rt": "route", "sched": "schedule",
    "res": "resolution",
    "s": "section", "ss": "sections", "tbl": "table", "ex": "example",
    "arts": "articles", "paras": "paragraphs", "chap": "chapter", "sch": "schedule",
}  # fmt: skip
UNDOTTED = [form for w in "vs dept attn fwd mgmt qty govt asst".split() for form in (w, w.title())]
SIZES = {"agg": "aggregate", "med": "medium", "lg": "large", "sm": "small"}
OF_A_LIFE = {"b": "born", "d": "died", "r": "reigned", "fl": "flourished"}  # b. 1850
BARE = {  # without a dot too, in front of a number
    "apt": "apartment", "ste": "suite", "hwy": "highway", "rte": "route", "arr": "arrives",
    "dep": "departs", "approx": "approximately", "vol": "volume", "tel": "telephone",
    "ext": "extension", "bldg": "building", "plat": "platform", "avg": "average",
}  # fmt: skip
WRITTEN_SHORT = {  # in messages, in small letters
    "pls": "please", "plz": "please", "thx": "thanks", "gr8": "great", "l8r": "later",
    "b4": "before",
    "m8": "mate", "str8": "straight", "w8": "wait", "2nite": "tonight", "2day": "today",
    "2moro": "tomorrow", "2morrow": "tomorrow", "tmrw": "tomorrow", "tmr": "tomorrow",
    "ppl": "people", "bday": "birthday", "msg": "message", "msgs": "messages", "mtg": "meeting",
    "appt": "appointment", "nvm": "never mind", "b/c": "because", "c/o": "care of",
    "w/in": "within",
    "int'l": "international",
    "nat'l": "national", "gov't": "government", "cont'd": "continued", "s/he": "she or he",
    "sry": "sorry",
    "tks": "thanks", "y/y": "year on year", "q/q": "quarter on quarter",
    "m/m": "month on month",
    "cuz": "because",
}  # fmt: skip
SHORT_FORMS = any_of(form for word in WRITTEN_SHORT for form in (word, word.capitalize()))
SPELLED_SHORT = frozenset(
    "idk omg omw imo imho afaik ikr ily idc irl asap fyi eta diy ceo faq".split()
)
STATES = {  # as newspapers shorten them, behind a comma, a hyphen or a bracket
    "Ala": "alabama", "Ariz": "arizona", "Ark": "arkansas", "Calif": "california",
    "Colo": "colorado", "Conn": "connecticut", "Del": "delaware", "Fla": "florida",
    "Ga": "georgia", "Ill": "illinois", "Ind": "indiana", "Kan": "kansas", "Ky": "kentucky",
    "La": "louisiana", "Mass": "massachusetts", "Md": "maryland", "Mich": "michigan",
    "Minn": "minnesota", "Miss": "mississippi", "Mo": "missouri", "Mont": "montana",
    "Neb": "nebraska", "Nev": "nevada", "Okla": "oklahoma", "Ore": "oregon", "Pa": "pennsylvania",
    "Tenn": "tennessee", "Tex": "texas", "Va": "virginia", "Vt": "vermont", "Wash": "washington",
    "Wis": "wisconsin", "Wyo": "wyoming", "Ont": "ontario", "Que": "quebec",
}  # fmt: skip
AFTER_A_NAME = {"Co": "company", "Ct": "court", "Ln": "lane", "Pl": "place", "Sq": "square",
                "Pkwy": "parkway"}  # fmt: skip
QUARTERS = {"N": "north", "S": "south", "E": "east", "W": "west"}
STREETS = {"St": "street", "Rd": "road", "Ave": "avenue", "Blvd": "boulevard", "Hwy": "highway",
           "Ln": "lane", "Pkwy": "parkway"}  # fmt: skip
AFTER_A_HOUSE = {**STREETS, "Dr": "drive", "Ct": "court", "Pl": "place", "Cres": "crescent",
                 "Sq": "square", "Ter": "terrace", "Cir": "circle", "Rte": "route"}  # fmt: skip
STREET = any_of([*STREETS, *(name.capitalize() for name in STREETS.values())])
TITLES = {"Mr": "mister", "Mrs": "missus", "Ms": "miz", "Dr": "doctor", "Prof": "professor",
          "Lt": "lieutenant", "Sgt": "sergeant", "St": "saint", "Capt": "captain", "Mt": "mount",
          "Ft": "fort", "Gen": "general", "Sen": "senator", "Gov": "governor", "Rev": "reverend",
          "Fr.": "father", "Det.": "detective", "Sr.": "sister"}  # fmt: skip
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
SMALL_NUMERAL = "x{0,2}(?:ii|iii|iv|vi{1,3}|ix)|xi{1,3}|xx?v|xx"
INTERJECTIONS = (  # what is written with any number of letters, and its one form in the dictionary
    (r"h+m{2,}", "hmm"), (r"s+h{2,}", "shh"), (r"u+m{2,}", "um"), (r"u+h{2,}", "uh"),
    (r"a+h{2,}", "ah"), (r"o+h{2,}", "oh"), (r"e+h{2,}", "eh"), (r"m{3,}", "mmm"),
    (r"br{2,}", "brr"), (r"gr{2,}", "grr"), (r"z{2,}", "zzz"), (r"(?!(?-i:PST))ps+t+", "psst"),
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


def _compass(letters: str) -> str:
    return "".join(QUARTERS[letter] for letter in letters)


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
    if not runs or word in lexicon() or not set(word.upper()) - ROMAN.keys():
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
        rf"\b([NSEW])\.? (?=(?:[A-Z][a-z]{{2,20}} )?"
        rf"(?:\d{{1,3}}(?:st|nd|rd|th)|[A-Z][a-z]{{2,20}}) (?:{STREET}|Dr)\b)",
        lambda m: QUARTERS[m[1]] + " ",
    ),
    rule(
        rf"((?:[A-Z][a-z']{{2,20}}|\dth|1st|2nd|3rd) )({any_of(STREETS)})(?=,|;|$)",
        lambda m: m[1] + STREETS[m[2]],
    ),
    rule(r"((?:[A-Z][a-z']{2,20}|\dth|1st|2nd|3rd) )Dr\.?(?= ?(?:$|[,;]| [a-z]))", r"\1drive"),
    rule(r"(?<=[a-z,] )No (?=\d)", "number "),
    rule(r"(?<=\w )[Ss]t\.(?=\s*(?:$|[,;:!?a-z\d]))", "street"),  # not St. Paul
    rule(r"(?<=[A-Za-z&] )(Co|Ct|Ln|Pl|Sq|Pkwy)\.(?=\W|$)", lambda m: AFTER_A_NAME[m[1]]),
    rule(r"\bCtrl\b", "control"),
    rule(
        rf"\b({any_of(UNDOTTED)})\b(?!\.|')",
        lambda m: ABBREVIATIONS[m[1].lower()],
    ),
    rule(
        rf"(?<![\w.-])({any_of(OF_A_LIFE)})\. ?(?=(?:c\. ?)?1\d{{3}}|20\d\d)",
        lambda m: OF_A_LIFE[m[1]] + " ",
    ),
    rule(
        rf"(?<![\w'/.-])({SHORT_FORMS})(?![\w'/.-]\w|\w)",
        lambda m: WRITTEN_SHORT[m[1].lower()],
    ),
    rule(
        rf"(?<![\w'/.@#-])({any_of(SPELLED_SHORT)})(?![\w'/-])",
        lambda m: " ".join(m[1]).replace("a ", "ay "),
    ),
    rule(rf"(?<=[,\-(]) ?({any_of(STATES)})\.(?=\W|$)", lambda m: f" {STATES[m[1]]}"),
    rule(r"\b[Nn]o\. of (?=[a-z])", "number of "),
    rule(r"(?<=\d ) ?est\.(?=\W|$)", "estimate"),
    rule(
        r"\b(\d{1,5}[A-Z]? (?:[NSEW]\.? |[A-Z][a-z]{2,20} ){0,2}"
        r"(?:[A-Z][a-z]{2,20}|\d{1,3}(?:st|nd|rd|th)) )"
        rf"({any_of(AFTER_A_HOUSE)})\b\.?(?! [A-Z][a-z]{{2,20}} (?:{STREET}))",
        lambda m: m[1] + AFTER_A_HOUSE[m[2]],
    ),
    rule(r"(?<=\d(?:st|nd|rd|th)) [Ff]l\.?(?=\W|$)", " floor"),
    rule(r"(?<=\d(?:st|nd|rd|th)) Cir\.", " circuit"),
    rule(r"\bAdm\.:? ?(?=[$£€])", "admission "),
    rule(r"\b([Rr]ef)\.? no\.? ", "reference number "),
    rule(r"(?<=[a-zA-Z] )no\. (?=[A-Z]{1,4}[\d/ -])", "number "),
    rule(r"\b(N|S|E|W|NE|NW|SE|SW) of\b", lambda m: f"{_compass(m[1])} of"),
    rule(r"\b(agg|med|lg|sm)\. (?=[a-z\d])", lambda m: SIZES[m[1]] + " "),
    rule(
        rf"(?i)\b({'|'.join(BARE)})\.? +(?:number |no\.? ?)?(?=\d)",
        lambda m: f"{BARE[m[1].lower()]} ",
    ),
    rule(
        rf"\b({any_of(TITLES)}) (?=(?:[A-Z]\.? ?){{0,2}}[A-Z][a-z])",
        lambda m: TITLES[m.group(1)] + " ",
    ),
    rule(r"\bFt\. (?=[A-Z])", "fort "),
    rule(r"(?<=[a-z] )v\.? (?=[A-Z])", "versus "),
    rule(
        rf"(?m)^ *(?=[IVX]{{2}})({NUMERAL})\. (?=[A-Z])",
        lambda m: f"{cardinal(str(roman(m[1])))}, ",
    ),
    rule(
        rf"(?i)(?<![\w.])(?!(?-i:S\.))({'|'.join(BEFORE_A_NUMBER)})\. ?(?=\d|[IVX]+\b)",
        lambda m: BEFORE_A_NUMBER[m.group(1).lower()] + " ",
    ),
    rule(
        rf"(?i)\b({'|'.join(ABBREVIATIONS)})\.(?=\W|$)",
        lambda m: ABBREVIATIONS[m.group(1).lower()] + " ",
    ),
    rule(rf"\(({SMALL_NUMERAL})\)", lambda m: f"({cardinal(str(roman(m[1].upper())))})"),
    rule(
        rf"(?m)(^ *|\b(?:[Pp]art|[Pp]hase|[Tt]ype|[Ss]tage|[Gg]rade|[Ss]ection|pp?\.|pages?) )"
        rf"({SMALL_NUMERAL})(?=[.):, ]|$)",
        lambda m: f"{m[1]}{cardinal(str(roman(m[2].upper())))}",
    ),
    rule(
        rf"\b(?=[IVX])({NUMERAL})(?= [Cc]entur(?:y|ies)\b)",
        lambda m: ordinal(str(roman(m[1]))),
    ),
    rule(rf"\b((?i:{'|'.join(HEADINGS)}) )(?=[IVXLC])(?![CL]\b)({NUMERAL})(?!\w|'[^s])", _heading),
    rule(
        rf"\b({RULER}) (?=[IVX])({NUMERAL})(?<! I)(?!\w|'[^s])",
        _ruler,
    ),
    rule(
        rf"\b({RULER}) (I)(?= (?:of|and|became|was|died|ruled|reigned|married|gave|granted) "
        r"|[,.;:)]|$)",
        _ruler,
    ),
    rule(
        r"\b((?:[A-Z][a-z]{2,30}) )(?=[IVX]{2})([IVX]{2,6})(?!\w|'[^s])",
        lambda m: _heading(m) if re.fullmatch(NUMERAL, m.group(2)) else m.group(),
    ),
)
