"""Words in capitals: spelled like "US", spoken like "NASA", or only loud like "NOT"."""

from __future__ import annotations

import re

from .lexicon import lexicon, spelled
from .rules import Rule, rule

# In capitals these are spelled, though they could be read as a word or as one of the dictionary's.
SPELLED = frozenset(
    """
    rfid paye
    la ab ai us uk eu un uae usa usd eur gbp aws gpu cpu tpu npu api it who cia eta eda esa iaea icu
    isp iso ios os ir iq eq ui ux id ip ira irs imf io atm pe pr pm am est edt ist utc bst aest
    apa aa aaa ada adhd aka apr asap fyi imo
    omg btw awol dna rna eea eia epa esg etf eula faq fao fda gao gui
    hiv iaf ide iot ipa ipo isbn itv iud lcd led llm ml nba ncaa nfl nhl nhs oas oecd oem pa
    pc pda pei pos ptsd qa roi sat sec sos sui sqa uav ufo uhf url usb ussr
    uss usaf va vat vip vpn yoy eos ott ups mou nda ceo cfo cto coo cio rsvp diy mia pow doa dob doi
    aol ibm iou ieee ietf uefi cd dvd tv dj mc md ma ba bc bce ce ad ev suv gi ga oj iaa
    """.split()
)  # fmt: skip
SPOKEN = frozenset(
    """
    nasa nato jpeg mpeg gif ascii unesco unicef opec ikea fifa uefa covid sars aids ram rom sim pin
    laser radar scuba nafta asean interpol nascar nasdaq noaa osha fema swat yolo fomo lidar captcha
    json yaml bios cern darpa gan cobol fortran basic unix linux java lego audi seat fiat
    toefl gmat wifi wasp zip bart nimby potus scotus flotus ok lan wan mac dos saas paas
    ucas daca ebay visa nike hamas isis lol
    """.split()
)  # fmt: skip
SHORT = frozenset(  # of two and three letters, in capitals for emphasis only
    """
    am an as at be by do go he if in is it me my no of on or so to up us we ok oh ah hi ad ma pa
    the and for are but not you all any can had her was one our out day get has him his how man men
    new now old see two way who boy did its let put say she too use yes big bad mad sad hot red run
    fun dad mom mum god war win won die kid top far off own why try car cat dog job law low off pay
    per set six ten sit sun sky sea tax ten tip toy use van wet wow yet ago air arm art ask bed bit
    box bus buy cup cut eat end eye few fit fly gas got gun guy hit ice ill key led leg lie lot met
    mix net nor odd oil pen pet raw row sir son tea tie via yep nah hey huh bye fan may max min hon
    """.split()
)
LOUD = {"IT", "WHO", "AM", "AD", "MA", "PA", "SAT", "LA", "GO", "OR"}  # words in a shouted sentence
ELEMENTS = "Na|Cl|Ca|Mg|Fe|Cu|Zn|Ag|Au|Hg|Pb|Al|Si|Br|Li|Ba|Ni|Mn"
LETTERED = "vitamin|plan|grade|group|class|section|exhibit|hepatitis|type|level|option|team|an"
FOR_US = {"LET", "GIVE", "TELL", "HELP", "WITH", "FOR", "OF", "JOIN", "ABOUT", "CONTACT", "TO"}
MIXED = {
    "WWI": "world war one", "WWII": "world war two", "FTSE": "footsie",
    "PhD": "p h d", "PhDs": "p h d's", "BSc": "b s c", "MSc": "m s c", "iOS": "i o s",
    "macOS": "mac o s", "pH": "p h", "MySQL": "my s q l", "LaTeX": "latex", "WiFi": "wifi",
    "Wi-Fi": "wifi", "OAuth": "oh auth", "IPv4": "i p v four", "IPv6": "i p v six",
    "CD-ROM": "c d rom", "Ph.D.": "p h d", "DoS": "doss", "VoIP": "voip",
    "eSIM": "e sim", "PhD's": "p h d's", "YoY": "year on year", "QoQ": "quarter on quarter",
    "Ph.D.s": "p h d's", "M&Ms": "m and m's", "M&M's": "m and m's", "NOx": "nox",
    "HbA1c": "h b ay one c", "IoT": "i o t",
    "SARS-CoV-2": "sars co v two", "CoV": "co v", "NoSQL": "no s q l", "SaaS": "sass",
}  # fmt: skip
LONGEST = 40  # letters of a word that is looked at closely
_WORDLIKE = re.compile(r"(?:[^AEIOUY]{0,2}[AEIOUY]{1,2})+[^AEIOUY]{0,2}")


def letters_of(text: str) -> str:
    """Spell `text`; "a" is written "ay", since "a" alone is the article. Digits' names stay."""
    return " ".join(
        piece if len(piece) > 1 else "ay" if piece == "a" else piece
        for part in text.lower().split()
        for piece in ([part] if part in NUMBER_NAMES else list(re.sub("[^a-z]", "", part)))
    )


NUMBER_NAMES = frozenset("zero one two three four five six seven eight nine".split())


def spelled_in_lower_case(word: str) -> bool:
    """Tell whether a lower-case part of an address is spelled: "bbc", "ai"; not "us" or "it"."""
    if word in SPOKEN or len(word) == 1 and word != "a":
        return False
    if not re.search("[aeiouy]", word):
        return True
    return word in SPELLED and word not in lexicon() or word in ("ai", "uk", "eu")


def _is_spelled(word: str, before: str, after: str) -> bool:
    """Decide for a word in capitals, `before` and `after` being its neighbours."""
    lower = word.lower()
    if lower in SPOKEN:
        return False
    shouted = any(_loud(other) for other in (before, after))
    if word == "US" and before in FOR_US or word in LOUD and shouted:
        return False
    if lower in SPELLED or not re.search("[AEIOUY]", word):
        return True
    if len(word) < 4 and not shouted:
        return lower not in SHORT
    phones = lexicon().get(lower)
    if phones is not None:
        return "".join(spelled(lower)).translate(NO_STRESS) == phones.translate(NO_STRESS)
    return len(word) < 4 or len(word) < 5 and not shouted or not _WORDLIKE.fullmatch(word)


NO_STRESS = str.maketrans("", "", "012 ")


def _loud(word: str) -> bool:
    lower = word.lower()
    return (
        len(word) > 1
        and word.isupper()
        and (lower not in SPELLED or word in LOUD)
        and lower in lexicon()
    )


_NEIGHBOUR = 24  # letters


def _capitals(match: re.Match[str]) -> str:
    word, ending = match.groups()
    text, first, last = match.string, match.start(), match.end()
    before = re.search(r"([A-Za-z]+)\W{1,2}$", text[max(0, first - _NEIGHBOUR) : first])
    after = re.match(r"\W{1,2}([A-Za-z]+)", text[last : last + _NEIGHBOUR])
    ending = "'s" if ending else ""
    if _is_spelled(word, before[1] if before else "", after[1] if after else ""):
        return f" {letters_of(word)}{ending} "
    return word.lower() + (match.group(2) or "")


def _mixed(match: re.Match[str]) -> str:
    """Spell a short word of both cases without a vowel, as "Nf" in chess or "kg" by itself."""
    word = match.group()
    if re.search("[aeiouyAEIOUY]", word) or word.lower() in lexicon():
        return word
    return f" {letters_of(word)} "


def _dotted(match: re.Match[str]) -> str:
    ending = match.group(2) or ""
    return f" {letters_of(match.group(1).replace('.', ' '))}{ending} "


def _formula(match: re.Match[str]) -> str:
    return match.group() if match.group().lower() in SPOKEN else f" {letters_of(match.group())} "


def _compound(match: re.Match[str]) -> str:
    found = match.group()
    return found if found.istitle() or found.lower() in lexicon() else f" {letters_of(found)} "


WHOLE: tuple[Rule, ...] = (  # first of all, since later rules would take them apart
    rule(
        rf"(?<![\w-])({'|'.join(sorted(map(re.escape, MIXED), key=len, reverse=True))})(?![\w-])",
        lambda m: f" {MIXED[m.group()]} ",
    ),
)
BEFORE_NUMBERS: tuple[Rule, ...] = (
    rule(r"(?<!\w)((?:[A-Za-z]\.){2,12})('s)?(?!\w)", _dotted),
    rule(
        r"\b([A-Z]{1,3})&([A-Z]{1,3})\b",
        lambda m: f" {letters_of(m[1])} and {letters_of(m[2])} ",
    ),
    rule(r"\bAD(?= ?\d)|(?<=\d )AD\b", " ay d "),
    rule(r"(?<=\d) ?A(?= (?:fuse|plug|socket|outlet|circuit|breaker|charger|supply)s?\b)", " amp"),
    rule(r"(?<=\d)A(?![A-Za-z_'])", " ay "),
    rule(r"\bA-?(?=\d)|\bA-(?=[a-z])", "ay "),
    rule(rf"(?<![A-Za-z])({ELEMENTS})(?=\d)", lambda m: f" {letters_of(m[1])} "),
    rule(
        r"\b([Aa]n?|grade) ([A-F])-(?=[\s,.;:!?)]|$)", lambda m: f"{m[1]} {letters_of(m[2])} minus"
    ),
    rule(rf"\b((?i:{LETTERED}) )A\b(?![.']\w)", r"\1ay "),
    rule(
        rf"(?<![A-Za-z])(?=\w{{0,8}}(?:{ELEMENTS}))((?:{ELEMENTS}|[HCNOSPKFI]){{2,6}})(?![A-Za-z])",
        _compound,
    ),
    rule(r"(?<![A-Za-z])([A-Z]{2,4})(?=\d)(?<!USD|EUR|GBP|CHF|AUD|CAD|JPY)", _formula),  # CO2
    rule(rf"\b({ELEMENTS}|K|H|F)(?= plus | ?[2-4]?\+(?![\w+]))", lambda m: f" {letters_of(m[1])} "),
)
RULES: tuple[Rule, ...] = (
    rule(r"\b([B-HJ-Z])\. (?=[A-Z])", r"\1 "),
    rule(r"\b([a-z]{1,3})(?=[A-Z]{2,12}\b)", r"\1 "),
    rule(rf"(?<![A-Za-z])([A-Z]{{2,{LONGEST}}})('s|s)?(?![A-Za-z])", _capitals),
    rule(r"(?<![A-Za-z'])[A-Za-z]{2,5}(?![A-Za-z'])", _mixed),
)
