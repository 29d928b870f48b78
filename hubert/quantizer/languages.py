"""The community's quantizers, by the language they were trained on.

A quantizer learns from speech in one language which of Bark's tokens a HuBERT feature means, so it
has to match the recording. HuBERT itself stays the same for all of them."""

from dataclasses import dataclass

from bark.errors import SettingError
from bark.languages import SUPPORTED_LANGS

LANGUAGES = tuple(code for _, code in SUPPORTED_LANGS)  # that Bark speaks


@dataclass(frozen=True)
class QuantizerSource:
    """Where a quantizer lies on the model hub."""

    repo: str
    file: str
    version: int  # 0 or 1


QUANTIZERS: dict[str, QuantizerSource] = {
    "en": QuantizerSource("GitMylo/bark-voice-cloning", "quantifier_hubert_base_ls960_14.pth", 0),
    "de": QuantizerSource(
        "CountFloyd/bark-voice-cloning-german-HuBERT-quantizer",
        "german-HuBERT-quantizer_14_epoch.pth",
        1,
    ),
    "es": QuantizerSource("Lancer1408/bark-es-tokenizer", "es_tokenizer.pth", 1),
    "it": QuantizerSource("gpwr/bark-it-tokenizer", "it_tokenizer.pth", 1),
    "ja": QuantizerSource(
        "junwchina/bark-voice-cloning-japanese-HuBERT-quantizer",
        "japanese-HuBERT-quantizer_24_epoch.pth",
        1,
    ),
    "pl": QuantizerSource(
        "Hobis/bark-voice-cloning-polish-HuBERT-quantizer", "polish-HuBERT-quantizer_8_epoch.pth", 1
    ),
    "pt": QuantizerSource(
        "MadVoyager/bark-voice-cloning-portuguese-HuBERT-quantizer",
        "portuguese-HuBERT-quantizer_24_epoch.pth",
        1,
    ),
    "tr": QuantizerSource(
        "egeadam/bark-voice-cloning-turkish-HuBERT-quantizer", "turkish_model_epoch_14.pth", 1
    ),
}


def quantizer_for(language: str) -> tuple[QuantizerSource, str | None]:
    """Return the quantizer for a language and, where it is only the nearest one, a warning.

    Raises
    ------
    SettingError If Bark does not speak the language: its tokens have no sounds for it, so no
        quantizer can help."""
    if language in QUANTIZERS:
        return QUANTIZERS[language], None
    if language in LANGUAGES:
        return QUANTIZERS["en"], (
            f"no quantizer is published for {language}; the English one is used, so expect an "
            "accent "
            f"(there are quantizers for {', '.join(QUANTIZERS)}; hubert.train makes others)"
        )
    raise SettingError(
        "Bark does not speak this language, so no voice can be cloned in it",
        got=repr(language),
        allowed=", ".join(LANGUAGES),
    )
