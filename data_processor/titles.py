"""What the lines above and in a text tell of it: the subject of a mail, a version or a date, the caption of a table."""

from __future__ import annotations

from collections.abc import Iterable

import regex

from data_processor.spans import find_spans

LONGEST_EDITION = 120  # characters
CAPTION = regex.compile(  # of a table or a picture, which heads that alone
    r"(?:(?i:tab(?:le|elle|leau|la|ella|ela|el|\.)?|fig(?:ure|ura|\.)?|abb(?:ildung|\.)?|табл(?:ица|\.)?|рис(?:унок|\.)?)[ \u00a0]?|[表图圖図] ?)\d"
)
SUBJECT = regex.compile(  # in the head of a mail or a memo, without "Re:"
    r"(?i:subject|betreff|betrifft|objet|asunto|oggetto|assunto|onderwerp|temat|ämne|emne|předmět|тема|主题|主題|件名|제목)"
    r"[ \u00a0]?[:：]\s*(?:(?i:re|aw|fwd?|wg|tr|rv|sv|antw)[ \u00a0]?:\s*)*(\S.*)"
)
EDITION_WORDS = frozenset(  # beside the date and the number
    """version ver rev revision revised release edition issue issued dated date as of from the effective updated last approved draft no number art article
    item part doc document ref and in on
    stand ausgabe auflage fassung vom nr nummer datum gültig ab seit artikel artikelnummer bestell dok az aktenzeichen und der
    édition révision version du de le la mise jour réf référence numéro en vigueur depuis
    fecha versión edición revisión del núm número
    versione edizione revisione data versão edição revisão
    versie uitgave datum van wersja wydanie dnia wydano версия редакция издание от дата""".split()
)
DATES = ("date", "year", "time", "number")  # kinds of spans


def subject_of(lines: Iterable[str]) -> str:
    """The subject that the head of a mail or a memo names, "" if it names none."""
    return next((found[1] for line in lines if (found := SUBJECT.fullmatch(line))), "")


def is_edition(text: str) -> bool:
    """Whether a line tells nothing but a version, a date or a number of the document or of what it is about."""
    if len(text) > LONGEST_EDITION or not regex.search(r"\d", text):
        return False
    for start, end, kind in reversed(find_spans(text)):
        text = text[:start] + text[end:] if kind in DATES else text
    words = regex.findall(r"(?<![\p{L}\d])\p{L}{2,}(?!\d)", text)
    return all(word.casefold() in EDITION_WORDS for word in words)
