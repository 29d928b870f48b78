"""Where sentences begin, by the `sentencex` library, in a known or guessed language."""

from __future__ import annotations

import re

COMMON = {  # short words that tell the languages of the Latin script apart
    "en": "the of and to is in it that was he she they for on with at his her you this are we be i",
    "de": "der die das und ist nicht ein eine ich er sie es mit auf den dem zu im am von war wir",
    "es": "el los las y es que un una por con su se lo del no como más pero está muy ha",
    "fr": "le les et est un une des du il elle que qui dans pas je vous nous au ce dit là",
    "it": "il lo gli e è che di un una per non con si del della sono ha come più ma va",
    "pl": "i w na nie się z do to że jest po za jak co od ale czy tak był ona on",
    "pt": "o os as e é que um uma não com se do da no na por mais ela ele foi está",
    "tr": "ve bir bu da de için ile çok ne o ben gibi daha var mi mı değil sonra geldi",
}
SCRIPTS = (  # languages that their letters give away; the first that fits
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("zh", re.compile("[\u3400-\u9fff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
)
MISSED = {  # abbreviations before which sentencex 1.0 ends a sentence
    "en": "ms approx est vol",
    "de": "inkl tel abs zb dh ua",
    "fr": "m mm mme mlle mgr bd st",
    "es": "d dña",
    "it": "pag",
    "ru": "им др",
    "pl": "ks dr hab godz",
    "pt": "av",
    "tr": "sn vb cad",
}
WINDOW = 4000  # characters looked at together: sentencex is slow where many quotes stay open
OPENERS = "\"'([{“‘„«‹「『（【〈《¿¡*_ "


def sentence_starts(text: str, language: str | None = None) -> set[int]:
    """Return where a sentence of `text` begins, but for the first.

    A language that is not given is known by its letters or its short words; where several are
    as likely, a sentence begins where it would in all of them.
    """
    languages = [language] if language else guess_languages(text)
    found = set.intersection(*(_starts(text, code) for code in languages))
    missed = {word for code in languages for word in MISSED.get(code, "").split()}
    return {at for at in found if _last_word(text, at) not in missed and not _goes_on(text, at)}


def guess_languages(text: str) -> list[str]:
    """Return the codes of the languages that `text` is most likely in; often one, never none."""
    sample = text[: 4 * WINDOW]
    counts = {code: len(letters.findall(sample)) for code, letters in SCRIPTS}
    if counts["ja"]:
        counts["zh"] = 0  # Japanese is written in both
    if max(counts.values()) * 3 < sum(map(str.isalpha, sample)):
        words = re.findall(r"[^\W\d_]+", sample.casefold())
        counts = {code: sum(map(known.split().count, words)) for code, known in COMMON.items()}
    most = max(counts.values())
    return [code for code, count in counts.items() if count == most]


def _starts(text: str, language: str) -> set[int]:
    from sentencex import get_sentence_boundaries

    starts: set[int] = set()
    opened = 0
    while opened < len(text):
        found = get_sentence_boundaries(language, text[opened : opened + WINDOW])
        inside = [_before_quotes(text, opened + boundary["start_index"]) for boundary in found[1:]]
        starts.update(inside)
        if opened + WINDOW >= len(text):
            break
        opened = inside[-1] if inside else opened + WINDOW
    return starts


def _before_quotes(text: str, at: int) -> int:
    """Return the start of a sentence with the marks that open it."""
    first = at
    while first and text[first - 1] in OPENERS.strip():
        first -= 1
    return first if text[first - 1 : first] == " " else at


def _last_word(text: str, at: int) -> str:
    return text[max(0, at - 12) : at].rstrip().removesuffix(".").rpartition(" ")[2].casefold()


def _goes_on(text: str, at: int) -> bool:
    """Tell whether what follows is in lower case, as after "“Why?” he said"."""
    return text[at : at + 4].lstrip(OPENERS)[:1].islower()
