"""Addresses and identifiers as words: web, e-mail, files, handles, hashtags, IP numbers, versions,
telephones.
"""

from __future__ import annotations

import re

from .acronyms import SHORT, letters_of, spelled_in_lower_case
from .numbers import by_digit, by_groups, cardinal, plain
from .rules import Rule, any_of, rule

MARKS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "?": "question mark",
    "=": "equals", "&": "and", "#": "hash", "%": "percent", "~": "tilde", ":": "colon", "+": "plus",
}  # fmt: skip
DOMAINS = (  # none that is a word by itself, as "left.it" is a slip of the pen
    "com org net edu gov mil int info biz io ai co uk de fr es jp cn ru nl ch se dk fi pl pt cz gr "
    "br ca au nz eu tv app dev xyz"
).split()
WORD_ENDINGS = frozenset({"co"})
SUFFIXES = (
    "pdf txt doc docx xls xlsx ppt pptx csv tsv json xml html htm css js ts py ipynb rb go rs java "
    "c h cpp hpp cs sh bat exe dll zip tar gz rar jpg jpeg png gif svg bmp tiff webp mp3 mp4 wav "
    "flac ogg avi mov mkv md rst tex log ini cfg toml yaml yml sql db npz pth"
).split()
SAID_SUFFIXES = frozenset("doc java bat zip tar gif jpeg tiff log mov go toml yaml flac".split())
EMERGENCY = "911|999|112|411|311|211|811|988|000"
STATES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM "
    "NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC"
).split()
PHONE_DIGITS = range(7, 16)


def identifier(text: str) -> str:
    """Return a name without spaces, "BlackLivesMatter" or "my_file2", as separate words."""
    said: list[str] = []
    for piece in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+|\d+|_", text):
        if piece == "_":
            said.append("underscore")
        elif piece.isdigit():
            said.append(plain(piece))
        elif spelled_in_lower_case(piece.lower()):
            said.append(letters_of(piece))
        else:
            said.append(piece.lower())
    return " ".join(said)


def address(text: str) -> str:
    """Return a web or e-mail address as words; its scheme and "www." are not said."""
    text = re.sub(r"^(?:[a-z]{2,9}://)?(?:www\.)?", "", text, flags=re.I)
    said: list[str] = []
    for piece in re.findall(r"[A-Za-z0-9']+|[^A-Za-z0-9']", text.rstrip("/")):
        said.append(MARKS.get(piece, "") if len(piece) == 1 and piece in MARKS else _label(piece))
    return f" {' '.join(filter(None, said))} "


def _label(piece: str) -> str:
    two_letters = len(piece) == 2 and piece.isalpha()
    if piece == "a" or two_letters and piece not in SHORT and piece not in WORD_ENDINGS:
        return letters_of(piece)
    return identifier(piece)


def _url(match: re.Match[str]) -> str:
    found = match.group()
    ended = found.rstrip(".,;:!?)'")
    return address(ended) + found[len(ended) :]


def _file(match: re.Match[str]) -> str:
    suffix = match.group(2)
    said = suffix.lower() if suffix.lower() in SAID_SUFFIXES else None
    digits = re.sub(r"\d", lambda m: f" {cardinal(m.group())} ", suffix)
    name = address(match.group(1)).strip()
    return f" {name} dot {said or letters_of(digits)} "


def _phone(match: re.Match[str]) -> str:
    digits = sum(map(str.isdigit, match.group()))
    if digits not in PHONE_DIGITS:
        return match.group()
    return (" plus" if match.group().startswith("+") else "") + by_groups(match.group())


def _short_phone(match: re.Match[str]) -> str:
    """Read 555-0199 as a telephone number, 900-1000 as a range."""
    first, last = match.groups()
    rises = int(last) > int(first) and last[0] != "0" and last.endswith("0")
    return match.group() if rises else by_groups(match.group())


def _ip(match: re.Match[str]) -> str:
    parts = match.group().split(".")
    if any(int(part) > 255 for part in parts):
        return match.group()
    return f" {' dot '.join(map(by_digit, parts))} "


def _version(match: re.Match[str]) -> str:
    return f" version {' point '.join(map(cardinal, match.group(1).split('.')))} "


def _character(sign: str) -> str:
    return by_digit(sign) or letters_of(sign)


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})"
RULES: tuple[Rule, ...] = (
    rule(
        rf"(?<![\w.+-])[\w.+-]{{1,64}}@{_LABEL}(?:\.{_LABEL}){{1,5}}",
        lambda m: address(m.group()),
    ),
    rule(r"(?i)\b(?:https?|ftp)://[^\s<>\"]{1,400}|\bwww\.[^\s<>\"]{1,400}", _url),
    rule(
        rf"(?i)(?<![\w@.-])(?:{_LABEL}\.){{1,5}}(?:co\.uk|{'|'.join(DOMAINS)})\b(?!\.\w)"
        r"(?:/[^\s<>\"]{0,400})?",
        _url,
    ),
    rule(r"(?<![\w./])~?(?:/[A-Za-z_][\w.-]{0,60}){2,10}/?", lambda m: address(m.group())),
    rule(
        rf"(?<![\w.-])([A-Za-z0-9][\w-]{{0,80}}(?:\.[\w-]{{1,20}}){{0,2}})\.({any_of(SUFFIXES)})\b(?!\.\w)",
        _file,
    ),
    rule(r"(?<![\w&])#(?=\d{1,6}[A-Z]?(?!\w)|[A-Z]{1,4}-?\d)", " number "),
    rule(r"(?<![\w&])#(?=\w{0,60}[A-Za-z])(\w{1,100})", lambda m: f" hashtag {identifier(m[1])} "),
    rule(r"(?<![\w.])@([A-Za-z_]\w{0,60})", lambda m: f" at {identifier(m[1])} "),
    rule(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)", _ip),
    rule(r"\b(?:v(?=\d)|V(?=\d{1,6}\.))(\d{1,6}(?:\.\d{1,6}){0,4})(?!\w)", _version),
    rule(
        r"\b0x([0-9A-Fa-f]{1,16})(?!\w)",
        lambda m: " zero x " + " ".join(map(_character, m[1])) + " ",
    ),
    rule(r"(?<![\w.])\+\d{1,3}(?:[ .-]?\(\d{1,4}\))?(?:[ .-]?\d{1,8}){1,5}(?![\w])", _phone),
    rule(r"(?<![\w.-])(?:1[-. ])?\(\d{3}\) ?\d{3}[ .-]\d{4}(?![\w-])", _phone),
    rule(r"(?<![\w.-])(?:1[-. ])?\d{3}[-. ]\d{3}[-. ]\d{4}(?![\w-])", _phone),
    rule(r"(?<![\w.-])0\d{2,4} \d{3,4} \d{3,4}(?![\w-])", _phone),
    rule(r"(?<![\w.-])\(0\d{1,4}\) ?\d{3,4}[ -]\d{3,4}(?![\w-])", _phone),
    rule(r"\b(?:Tel|Ph)(?:: ?|\.:? ?)(?=[+(\d])", "telephone, "),
    rule(r"(?<![\w.-])1-\d{3}(?=-[A-Z])", lambda m: by_groups(m.group())),
    rule(r"(?<![\w.,-])(\d{3})-(\d{4})(?![\w-]|,\d)", _short_phone),
    rule(
        rf"(?i)\b(call|dial|dialed|dialled|called|text|ring) ({EMERGENCY})\b(?![,.]\d)",
        lambda m: f"{m[1]} {by_digit(m[2])}",
    ),
    rule(r"(\b[Tt]ext [A-Z]{2,12} to )(\d{4,7})\b", lambda m: m[1] + by_digit(m[2])),
    rule(
        rf"\b({'|'.join(STATES)}) (\d{{5}})(?:-(\d{{4}}))?(?!\w)",
        lambda m: f"{letters_of(m[1])} {by_digit(m[2])}" + (f", {by_digit(m[3])}" if m[3] else ""),
    ),
)
