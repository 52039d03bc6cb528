"""Sentences of a text in any language: the borders of the library yasbd, with a thin layer that drops, adds and moves some.

All places are offsets in characters (code points) of the text that was given; nothing in the text is changed. The layer
mends what yasbd 1.0.4 gets wrong in 14 languages; `refine` would take the borders of any other library.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

import regex
import yasbd

from data_processor.prefilter import Prefilter
from data_processor.span_words import OPENING_WORDS

RELATED = {  # languages that yasbd lacks: those whose rules serve them; all others go by their script
    **dict.fromkeys(("no", "nb", "nn", "is"), "da"), **dict.fromkeys(("hr", "bs", "sl"), "cs"), "ca": "es", "gl": "pt",
    "fi": "sv", "hu": "de", "et": "de", "lv": "lt", "az": "tr", "ms": "id", "sr": "bg",
}  # fmt: skip
SCRIPTS = {
    "ru": r"\p{Cyrillic}", "el": r"\p{Greek}", "ar": r"\p{Arabic}", "hi": r"[\p{Devanagari}\p{Gujarati}\p{Gurmukhi}]",
    "ja": r"[\p{Hiragana}\p{Katakana}]", "zh": r"\p{Han}", "ko": r"\p{Hangul}", "th": r"[\p{Thai}\p{Lao}]",
}  # fmt: skip
NEVER_LAST = {  # abbreviations that yasbd splits at and no sentence ends with, without their last stop
    "de": "Hr Hrn Fr Fa Fam Gebr Dipl vgl sog Abs Abb Abschn Anl Anm Bd Ziff Buchst Halbs Nrn Rn Rz u.a u. a h.c h. c "
    "Flst Gmkg Gde Gmde Lkr Ldkr Bgm Vors stv gez Az Kto Ref Betr betr gem entspr insbes exkl abzgl lfd Tsd "
    "mind einschl ausschl voraussichtl durchschn jährl monatl tägl wöchentl zul gesetzl techn gegr ges Nr Tel Pos Kap Tab Anh "
    "Beil Aufl Ausg Temp Kl Bl Jg",
    "en": "incl excl resp viz pp Nos Attn Encl",
    "fr": "Mgr Me cf chap al av apr éd réf tél env fig pp resp Ets",
    "es": "Avda Av ap núm pág págs cap Dña p. ej fig tel",
    "it": "cfr artt avv arch sig.ra sig dott pag pagg cap fig tel Egr circ",
    "nl": "nr tel blz hfdst dhr mevr resp",
    "pl": "por ks św ul al ust poz pkt inż zob tj m.in rys rozdz Dz. U Dz art nr tel godz wg",
    "pt": "pág págs núm tel fig",
}
NEVER_LAST_SMALL = {"de": "max min"}  # the same as written, as Max is a name; not after what is measured: "5 kg max."
REPORTING = {  # what follows a quotation, its own end mark and all, in the same sentence, where it is no small letter
    "en": r"\p{Lu}\w+ (?:said|asked|replied|shouted|answered|cried)\b",
    "zh": r"\p{Han}{1,6}?[问問说說道答喊叫][道着著]?[。，：]",
    "ja": r"と|って",
    "ko": r"라고|하고|\S+[이가은는] (?:말|묻|물|대답|답|외)",
    "ar": r"(?:قال|سأل|صاح|أجاب|رد|هتف)\p{L}?\b",
    "hi": r"(?:\S+ ){0,2}(?:पूछा|कहा|बोल|चिल्ला|उत्तर)",
}
COUNTRY = regex.compile(r"\b[Tt]he (?:\p{Lu}\.){2,}$")
NAME = regex.compile(r"(\p{Lu}[\p{L}'’-]*) \p{Lu}")
SPACE = r"[^\S\n]"  # white space within a line
CAPITAL = rf"(?={SPACE}+[\"'“„«‘(\[¿¡—–]*{SPACE}?[\p{{Lu}}\p{{Lt}}])"  # a capital comes, on the same line
MISSED = regex.compile(  # ends of sentences that yasbd does not see; each begins with a mark, as letters are everywhere
    rf"(?:…|(?<!\.)\.{{3}})[\"'”’»)]?{CAPITAL}|(?<=\p{{Georgian}}{{2}})[.!?](?={SPACE}+\p{{Georgian}})|[។།](?={SPACE}+\p{{Lo}})"
    rf"|(?=[CJэгΧ])(?<=\p{{L}}\.{SPACE}?|\d{SPACE}?)(?:C|J\.-C|Chr|э|г|гг|Χ)\.{CAPITAL}"  # an era, or Russian for year
    rf"|(?<=\p{{Ll}}{{2}})[.!?]{SPACE}+(?=«{SPACE}?[\p{{Lu}}¿¡])|[.!?]«{CAPITAL}"  # before, after a quotation
    r"|(?<=\p{Ll}{2}|\d{2})[.!?](?=\p{Lu}\p{Ll}+[ ,])(?<!(?:www\.|[/@])\S*)"  # no space after the stop
    r"|[。！？](?<=[”」』）》].)(?=\d)"  # a Chinese stop after a closing mark, before a number
)
CLOSERS = r"[\"'”’»)」』）\]]"
END_MARK = regex.compile(rf"[.!?…。！？؟।॥։።។]{CLOSERS}*$")
SEMICOLON = regex.compile(rf"；{CLOSERS}*")  # where Chinese clauses are long, it ends one as a stop does
GREEK_END = regex.compile(rf"[;·;]{CLOSERS}*$")
TAIL = regex.compile(  # an end mark and the numbers of notes or the emoji which belong to the sentence before
    r"[.!?।॥…。！？؟][\"'”’»)」』）]*+"
    rf"(?:(?:\[\p{{N}}{{1,3}}\])+|[¹²³⁰⁴-⁹]+|{SPACE}?\p{{Emoji_Presentation}}+)(?!{SPACE}*[\p{{Ll}},;:])"
)
UNMEASURED = r"(?<!\d\s?[^\s\d,;]{0,6}\s)(?<![\p{L}\p{M}])"  # no number stands right before, with or without its unit
INSIDE = [  # what stands before and after a border that lies within a sentence, in any language
    (regex.compile(before), regex.compile(after))
    for before, after in (
        (r"", rf"[—–-]?{SPACE}*(?!\p{{Georgian}})\p{{Ll}}"),
        (r"(?<![\p{Lu}\p{Ll}\p{M}])\p{L}\p{M}*\.\s?$", r"\p{L}\p{M}*\."),  # two initials
        (r"\((?:[!?]+|\.{3}|…)\)\s?$", r""),  # a remark on the word before
        (r"\b\d{4}\.(?: ?\d{1,2}\.){0,2}\s?$", r"(?:\d{1,2}\. ?){0,2}\p{Hangul}"),  # a date: 2021. 1. 5.
        (rf"{UNMEASURED}(?:max|min|máx|mín|maks|aprox|макс|мин|прибл|ок)\.\s?$", r"[<>±~≈]?\s?\d"),  # how much
        (r"\p{Ll}str\.\s?$", r"\d"),  # a German street and its number
        (r"(?<!\p{L})\p{Ll}\. ?d\.\s?$", r"\p{Lu}"),  # a German place on a river: Oberwinden a. d. Elz
        (r"\p{Ll} i\.\s?$", r"(?:Br?|E|Th|V|W|Allg|Holst|Westf)(?:\.|\p{Ll})"),  # or in a region: Freiburg i. Br.
        (r"\b(?:Apt|Chap|Dept|Doc|Pos|Rm|Sch|Ver)\.\s?$", r"\d"),  # and in English a number of its own
        (r"(?:^|[.!?]\s)(?:At|By|From|Until|Since|Before|After) \d{1,2}(?:[:.]\d\d)?\s?[ap]\.m\.\s?$", r""),
        (r"(?:\.{3}|…)\s$", r"\p{Lo}"),  # a pause, in letters without capitals
    )
]
# A stop after an Indic letter: in a text whose sentences end with a danda, that of an abbreviation.
DANDA = regex.compile(r"[\u0900-\u0dff]\.$")
CLOSED = regex.compile(r"[.!?…。！？؟।][\"'”’»)」』]$")
NO_BREAK = {0xA0: " ", 0x202F: " "}  # no-break spaces, in which yasbd sees no end of a sentence
APOSTROPHE = regex.compile(r"(?<=\p{L})’(?=\p{L})")  # one within a word closes no quotation
LONG = 600  # characters
CACHED_TEXTS = 1 << 10  # a text is read as a whole, and then line by line
NEAR = 40  # characters looked at before and after a border
LONGEST_RUN, LONGEST_GAP = 1000, 200  # characters
BLOB = regex.compile(  # encoded data, ruled lines, gaps: yasbd's time grows with their square
    rf"[!-~]{{{LONGEST_RUN},}}|\s{{{LONGEST_GAP},}}"
)


def rules_for(language: str, text: str) -> str:
    """The language code of yasbd whose rules to use for a code like "de" or "pt-BR"; unknown ones by the script of
    more than a fifth of the first 2,000 characters.
    """
    code = language.lower().replace("_", "-").split("-")[0]
    for choice in (code, RELATED.get(code)):
        if choice in yasbd.get_supported_langs() and choice != "auto":
            return choice
    sample = text[:2000]
    return next((c for c, letters in SCRIPTS.items() if len(regex.findall(letters, sample)) > len(sample) / 5), "en")


def segment(text: str, language: str, whole_quotes: bool = True) -> list[tuple[int, int]]:
    """Start and end of each sentence of a text. All but white space is in one of them, and a line break ends one.

    `whole_quotes` keeps a quotation of several sentences in one.
    """
    return list(find_sentences(text, language, whole_quotes))


@functools.lru_cache(maxsize=CACHED_TEXTS)
def find_sentences(text: str, language: str, whole_quotes: bool) -> list[tuple[int, int]]:
    """What `segment` returns; the list is not to be changed."""
    code = rules_for(language, text)
    prose = BLOB.sub(lambda blob: "\n" * len(blob[0]), text) if may_have_blobs(text) else text
    prose = prose if prose.isascii() else APOSTROPHE.sub("ʼ", prose.translate(NO_BREAK))
    found, start = [], 0
    for end in [*sorted(refine(text, code, set(detector(code, whole_quotes).detect(prose)))), len(text)]:
        if whole_quotes and end - start > LONG:  # a quotation mark that lacks its partner holds much together
            found += [(start + s, start + e) for s, e in segment(text[start:end], code, whole_quotes=False)]
        elif part := text[start:end].strip():
            first = text.index(part, start)
            found.append((first, first + len(part)))
        start = end
    return found


def may_have_blobs(text: str) -> bool:
    """Whether a word, or all white space together, is as long as a blob; BLOB itself would take longer to say no."""
    words = list(map(len, text.split()))
    return max(words, default=0) >= LONGEST_RUN or len(text) - sum(words) >= LONGEST_GAP


def ends_sentence(text: str, language: str) -> bool:
    """Whether a text, without white space at its end, ends with a sentence's end mark."""
    return bool(END_MARK.search(text) or (language == "el" and GREEK_END.search(text)))


def refine(text: str, code: str, borders: set[int]) -> set[int]:
    """Offsets where sentences end, from those that a library found for the language `code`."""
    kept = {border for border in borders if not is_inside(text, border, code)}
    kept |= {match.end() for match in MISSED.finditer(text)}
    if code == "zh":
        kept |= {match.end() for match in SEMICOLON.finditer(text)}
    for match in TAIL.finditer(text):
        kept -= set(range(match.start(), match.end()))
        kept.add(match.end())
    return kept


def is_inside(text: str, border: int, code: str) -> bool:
    """Whether a border, an offset, lies within a sentence; one at a line break never does."""
    before, after = text[max(0, border - NEAR) : border], text[border : border + NEAR]
    gap = before[len(before.rstrip()) :] + after[: len(after) - len(after.lstrip())]
    before, after = before.rstrip(), after.lstrip()
    if "\n" in gap:
        return False
    return bool(
        any(second.match(after) and first.search(before + gap[:1]) for first, second in INSIDE)
        or never_last(code).search(before)
        or (code == "en" and is_adjective(before, after))
        or (DANDA.search(before) and "।" in text)
        or (code in REPORTING and CLOSED.search(before) and regex.match(REPORTING[code], after))
    )


def is_adjective(before: str, after: str) -> bool:
    """Whether an English abbreviation such as U.S. goes with two capitals after it: "the U.S. Mill Society"."""
    name = NAME.match(after)
    return bool(name and COUNTRY.search(before) and name[1].lower() not in OPENING_WORDS["en"])


@functools.cache
def detector(code: str, whole_quotes: bool) -> yasbd.BoundaryDetector:
    """yasbd's detector, in which abbreviations that a text does not have cost no time: half of it went there."""
    found = yasbd.BoundaryDetector(lang=code, preserve_quote_and_paren=whole_quotes)
    rules = found._get_rule(code)
    rules.MID_SENTENCE_FINDER_LST = [OnePattern(rules.MID_SENTENCE_FINDER_LST)]
    return found


class OnePattern:
    """Several patterns, to be searched for as if they were one; those that a text cannot match are not tried."""

    def __init__(self, patterns: Sequence[re.Pattern | regex.Pattern]):
        self.patterns, self.prefilter = patterns, Prefilter(patterns)

    def finditer(self, text: str) -> Iterator[re.Match | regex.Match]:
        for number in self.prefilter.possible(text):
            yield from self.patterns[number].finditer(text)


@functools.cache
def never_last(code: str) -> regex.Pattern:
    words = map(regex.escape, regex.findall(r"(?:\S+\. )?\S+", NEVER_LAST.get(code, "")))
    small = NEVER_LAST_SMALL.get(code, "(?!)").replace(" ", "|")
    return regex.compile(rf"(?<![\p{{L}}\p{{M}}])(?:(?i:{'|'.join(words) or '(?!)'})|{UNMEASURED}(?:{small}))\.$")
