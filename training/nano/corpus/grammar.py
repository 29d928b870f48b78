"""The sentences of a small closed language, and the grammars a recogniser needs for it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

DIGITS = "zero one two three four five six seven eight nine"
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
REPEATS = (3, 7)  # how often a rule marked with "+" is spoken
RULE = re.compile(r"<(\w+)>(\+?)")


@dataclass(frozen=True)
class Grammar:
    """Sentences over named rules.

    `rules` maps a name to its alternatives; alternatives and sentences are words and `<rule>`
    references, and a reference followed by "+" is spoken three to seven times (and accepted any
    number of times)."""

    rules: dict[str, tuple[str, ...]]
    sentences: tuple[str, ...]

    def sample(self, rng: random.Random) -> str:
        """Draw one sentence: a template uniformly, then every rule uniformly."""
        return self._expand(rng.choice(self.sentences), rng)

    def _expand(self, text: str, rng: random.Random) -> str:
        def fill(match: re.Match[str]) -> str:
            times = rng.randint(*REPEATS) if match.group(2) else 1
            alternatives = self.rules[match.group(1)]
            return " ".join(self._expand(rng.choice(alternatives), rng) for _ in range(times))

        return RULE.sub(fill, text)

    def words(self) -> tuple[str, ...]:
        """Return every word the language can say, sorted."""
        texts = [text for alternatives in self.rules.values() for text in alternatives] + list(
            self.sentences
        )
        return tuple(
            sorted(
                {word for text in texts for word in RULE.sub(" ", text).replace(",", " ").split()}
            )
        )

    def jsgf(self, name: str) -> str:
        """Write the language in the Java Speech Grammar Format that pocketsphinx reads."""
        lines = ["#JSGF V1.0;", f"grammar {name};"]
        lines += [f"<{rule}> = ({' | '.join(texts)});" for rule, texts in self.rules.items()]
        lines.append(f"public <sentence> = ({' | '.join(self.sentences)});")
        return "\n".join(lines).replace(",", "") + "\n"  # commas are pauses, not words


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("/")) if "/" in text else tuple(text.split())


def _rules(**texts: str) -> dict[str, tuple[str, ...]]:
    return {name: _split(text) for name, text in texts.items()}


NUMBER_RULES = _rules(
    digit=DIGITS,
    one_to_nine=DIGITS.removeprefix("zero "),
    teen=TEENS,
    tens=TENS,
    below_hundred="<teen> / <tens> / <tens> <one_to_nine>",
    hundreds="<one_to_nine> hundred / <one_to_nine> hundred and <below_hundred> / "
    "<one_to_nine> hundred and <one_to_nine>",
    thousands="<one_to_nine> thousand / <one_to_nine> thousand <hundreds> / <below_hundred> "
    "thousand "
    "<hundreds> / <one_to_nine> thousand and <below_hundred>",
    month="january february march april may june july august september october november december",
    first="first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth",
    ordinal="<first> / twenty <first_nine> / thirtieth / thirty first",
    first_nine="first second third fourth fifth sixth seventh eighth ninth",
    year="nineteen <below_hundred> / eighteen <below_hundred> / twenty <teen> / two thousand and "
    "<one_to_nine>",
    hour="one two three four five six seven eight nine ten eleven twelve",
    minute="oh <one_to_nine> / fifteen / thirty / forty five / <tens_minutes> <one_to_nine>",
    tens_minutes="twenty thirty forty fifty",
)

DIGIT_GRAMMAR = Grammar({"digit": NUMBER_RULES["digit"]}, ("<digit>+",))

NUMBER_GRAMMAR = Grammar(
    NUMBER_RULES,
    (
        "<below_hundred>",
        "<hundreds>",
        "<hundreds>",
        "<thousands>",
        "<thousands>",
        "<month> <ordinal>",
        "<month> <ordinal> <year>",
        "the <ordinal> of <month>",
        "the <ordinal> of <month> <year>",
        "half past <hour>",
        "quarter to <hour>",
        "quarter past <hour>",
        "<hour> <minute>",
        "<below_hundred> dollars",
        "<below_hundred> dollars and <below_hundred> cents",
        "<hundreds> dollars",
        "<below_hundred> point <digit> <digit>",
        "<one_to_nine> point <digit>",
        "<below_hundred> percent",
        "minus <below_hundred>",
    ),
)

TEMPLATE_RULES = _rules(
    color="red blue green black white brown yellow gray purple golden silver orange",
    thing="lamp door window box table chair book cup clock phone bag boat basket blanket bottle "
    "bucket "
    "camera candle carpet coat hammer hat jacket key ladder letter mirror needle paper pencil "
    "picture "
    "pillow ring rope shirt shoe spoon ticket umbrella wallet watch wheel",
    place="kitchen garden station office school market river city village forest hospital museum "
    "library "
    "church castle bridge harbor island mountain valley bakery theater factory hotel airport "
    "beach farm "
    "corner",
    person="man woman boy girl teacher doctor driver farmer sailor soldier singer painter baker "
    "captain "
    "neighbor nurse lawyer student writer judge king queen uncle aunt brother sister cousin",
    name="alice anna arthur carol daniel david edward emma frank george hannah harry helen henry "
    "jack "
    "james jane julia laura lucy maria martin michael nancy oliver oscar peter rachel robert "
    "sarah simon "
    "thomas victor walter",
    day="monday tuesday wednesday thursday friday saturday sunday",
    time="morning evening afternoon night",
    month=" ".join(NUMBER_RULES["month"]),
    quality="old new big small warm cold heavy light broken empty dirty clean strange pretty "
    "narrow "
    "wooden little quiet famous modern",
    mood="happy tired angry hungry careful lonely nervous patient proud sleepy",
    food="bread cheese butter soup rice sugar chicken coffee tea milk water honey",
    fruit="apples bananas carrots cherries lemons potatoes tomatoes onions",
    animal="dog cat horse bird cow sheep rabbit monkey elephant tiger turtle spider",
    carried="took brought carried found lost sold bought moved painted repaired",
    weather="rain snow wind fog thunder sunshine",
    number=DIGITS.removeprefix("zero ") + " ten eleven twelve",
    where="under behind near beside above",
)

TEMPLATE_GRAMMAR = Grammar(
    TEMPLATE_RULES,
    (
        "set the <color> <thing> to <number>",
        "turn the <color> <thing> around now",
        "please open the <quality> <thing>",
        "please leave the <thing> in the <place>",
        "the <person> went to the <place> on <day>",
        "the <person> will come back on <day> <time>",
        "my <quality> <thing> is in the <place>",
        "the <color> <thing> is on the <quality> table",
        "i saw a <color> <thing> near the <place>",
        "the <person> has a <color> <thing>",
        "can you bring the <thing> to the <person>",
        "meet me at the <place> at <number>",
        "the train leaves at <number> on <day>",
        "it was a <quality> <day> <time>",
        "put the <thing> <where> the <color> chair",
        "she gave the <person> <number> <fruit>",
        "the <mood> <person> lives by the <place>",
        "we found the <thing> behind the <place>",
        "there are <number> birds in the <place>",
        "call <name> on <day> <time>",
        "this <quality> <thing> costs <number> dollars",
        "the <place> is closed on <day>",
        "do not touch the <color> <thing>",
        "take bus <number> to the <place>",
        "the <person> is reading a <quality> book",
        "every <day> the <person> walks to the <place>",
        "i like the <color> one, not the <color> one",
        "the <quality> house is near the <place>",
        "send the <thing> to room <number>",
        "his <thing> fell into the <place>",
        "wait for <name> at the <place>",
        "her <color> coat is on the chair",
        "where is the <quality> <color> <thing>",
        "good <time>, said the <mood> <person>",
        "<name> and <name> <carried> a <color> <thing>",
        "my <person> <carried> the <thing> in <month>",
        "there will be <weather> on <day> <time>",
        "the <animal> slept <where> the <quality> <thing>",
        "<name> never eats <food> or <fruit>",
        "we need <food>, <food> and <number> <fruit>",
        "a <quality> <animal> ran across the <place>",
        "<name> was <mood> because of the <weather>",
        "after the <weather> we walked to the <place>",
        "could you tell <name> about the <animal>",
        "in <month> the <place> is full of <weather>",
        "the <person> asked for <food> with <food>",
        "who left this <thing> in front of the <place>",
        "<number> people waited outside the <place>",
        "both the <animal> and the <animal> belong to <name>",
        "last <month> <name> visited the <quality> <place>",
        "open the <thing> before the <person> comes home",
        "that <animal> is much bigger than my <animal>",
        "they always drink <food> in the <time>",
        "why does the <person> want <number> <fruit>",
        "write a letter to <name> in <month>",
        "some <fruit> are better than <food>",
        "the <quality> bridge goes over the <place>",
        "<name> should buy a new <thing> tomorrow",
        "yesterday a <color> <animal> followed <name> home",
        "if there is <weather>, stay in the <place>",
    ),
)

GRAMMARS = {"digits": DIGIT_GRAMMAR, "number": NUMBER_GRAMMAR, "template": TEMPLATE_GRAMMAR}
