"""Characters that only look different made the same, and lines that a page has but its text has not."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter

import regex

from data_processor.edits import BOILERPLATE, MARKUP, TEXT, Edit

ONE_FOR_ONE = str.maketrans(  # a character for a character, so that no place moves
    {"\f": "\n", "\r": "\n", "\v": "\n", "\x85": "\n", "\u2028": "\n", "\u2029": "\n"}
    | dict.fromkeys("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f", " ")
)
INVISIBLE = regex.compile(
    r"\r(?=\n)"
    r"|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
    r"|\u00ad(?![ \t]*\r?\n)"  # at the end of a line it is a hyphen
    r"|(?<=[\p{Latin}\p{Greek}\p{Cyrillic}\d\s])[\u200c\u200d]"  # elsewhere they are spelling: Persian, Hindi, emoji
)
LIGATURES = re.compile("[\ufb00-\ufb06]")
CLUSTER = regex.compile(r"\X")
NOTE_MARK = regex.compile(  # not a[1], which is code, and not the number of a note itself, which begins a line
    r"(?<=\p{L}{2}|\p{Han}|\d|[*_.,;:!?…\"'”’»)\]。，；：！？」』])"
    r"\[(?:\d{1,3}|\p{Ll}|(?:note|nb|n|Anm\.|注)\s?\d{1,3}|citation needed)\](?!\p{L})"
    r"|(?<=[.,;:!?…\"”’»)。！？])[¹²³⁰⁴-⁹]+"
)
PAGE_NUMBER = re.compile(  # but not a year
    r"(?m:^[ \t]*(?:[-–—][ \t]*\d{1,4}[ \t]*[-–—]|(?:[Pp]age|PAGE|S\.)[ \t]*\d{1,4}(?:[ \t]*(?:of|/)[ \t]*\d{1,4})?"
    r"|\d{1,3}(?:[ \t]*/[ \t]*\d{1,4})?|第[ \t]*\d{1,4}[ \t]*页"
    # at the right of what the foot of a page says besides
    r"|(?:\S[^\n]{0,80}?(?:[ ]{3,}|\t+))?(?:[Pp]age|[Ss]eite|[Pp]ágina|[Сс]тр\.?)[ ]\d{1,4}[ ](?:of|sur|von|de|из)[ ]\d{1,4})"
    r"[ \t\r]*(?:\n|\Z))"
)
FURNITURE = re.compile(
    r"(?m:^[^\n]{1,200}?(?:\.[ \t]?|…){4,}[ \t]*\d{1,4}[ \t\r]*(?:\n|\Z))"  # a line of a table of contents
    r"|\[Illustration(?::[^\]]{0,300})?\]"
)
GUTENBERG = (
    re.compile(r"\A(?s:.*?)^\*\*\* ?START OF TH[^\n]*(?:\n|\Z)", re.MULTILINE),
    re.compile(r"^\*\*\* ?END OF TH(?s:.*)\Z", re.MULTILINE),
)
PAGE_BREAK = re.compile(r"\s*\f\s*")
HEAD_LINES = 4  # of a page, that may be its running head


def fold(text: str) -> str:
    """A text as `clean` leaves it: NFC, no ligatures, nothing invisible, spaces that break."""
    text = LIGATURES.sub(lambda match: unicodedata.normalize("NFKC", match[0]), INVISIBLE.sub("", text))
    return unicodedata.normalize("NFC", text).translate(ONE_FOR_ONE)


def foldings(raw: str) -> list[Edit]:
    """The edits that make `raw` what `fold` would, but for characters that are changed one for one."""
    edits = [Edit(*match.span(), kind=TEXT) for match in INVISIBLE.finditer(raw)]
    edits += [Edit(*found.span(), unicodedata.normalize("NFKC", found[0]), TEXT) for found in LIGATURES.finditer(raw)]
    if not unicodedata.is_normalized("NFC", raw):
        for cluster in CLUSTER.finditer(raw):
            composed = unicodedata.normalize("NFC", cluster[0])
            if composed != cluster[0]:
                edits.append(Edit(*cluster.span(), fold(composed), TEXT))
    return edits


def furniture(raw: str) -> list[Edit]:
    """Page numbers, running heads, tables of contents and licences, and the marks of notes."""
    edits = [Edit(*match.span(), kind=BOILERPLATE) for part in GUTENBERG if (match := part.search(raw))]
    edits += page_breaks(raw)
    edits += [Edit(*match.span(), kind=BOILERPLATE) for match in PAGE_NUMBER.finditer(raw)]
    edits += [Edit(*match.span(), kind=BOILERPLATE) for match in FURNITURE.finditer(raw)]
    return edits + [Edit(*match.span(), kind=MARKUP) for match in NOTE_MARK.finditer(raw)]


def page_breaks(raw: str) -> list[Edit]:
    """Form feeds with the page numbers and running heads around them; a sentence that goes on stays in one paragraph."""
    breaks = list(PAGE_BREAK.finditer(raw))
    if not breaks:
        return []
    starts = [_first_text(raw), *(found.end() for found in breaks)]
    ends = [*(found.start() for found in breaks), len(raw)]
    tops = [_first_lines(raw, start, end) for start, end in zip(starts, ends, strict=True)]
    counts = Counter(form for top in tops for form in {form for form, _ in top})

    def after_head(start: int, top: list[tuple[str, int]]) -> int:
        """Where a page's own text begins: after the first lines that other pages have too."""
        for _, end in itertools.takewhile(lambda line: counts[line[0]] > 1, top):
            start = end
        return start

    edits, first = [], starts[0]
    if after_head(first, tops[0]) > first:
        edits.append(Edit(first, after_head(first, tops[0]), kind=BOILERPLATE))
    for found, top in zip(breaks, tops[1:], strict=True):
        start = found.start()
        lines = raw[:start].rfind("\n") + 1
        if PAGE_NUMBER.fullmatch(raw[lines:start].rstrip()):
            start = len(raw[:lines].rstrip())
        end = after_head(found.end(), top)
        goes_on = bool(regex.search(r"[\p{L}\d,;-]\Z", raw[max(0, start - 9) : start])) and bool(
            regex.match(r"\p{Ll}", raw[end : end + 1])
        )
        edits.append(Edit(start, end, "\n" if goes_on else "\n\n", BOILERPLATE))
    return edits


def over_pages(edits: list[Edit]) -> list[tuple[int, int]]:
    """Of the edits by `page_breaks`, the breaks within a sentence, each with the character before it and the one after it."""
    return [(edit.start - 1, edit.end + 1) for edit in edits if (edit.text, edit.kind) == ("\n", BOILERPLATE)]


def _first_lines(raw: str, start: int, end: int) -> list[tuple[str, int]]:
    """Of the first lines of a page: the text, with every number as 0, and where the next line with text begins."""
    lines = list(itertools.islice(re.compile(r"([^\n]*)\s*").finditer(raw, start, end), HEAD_LINES))
    return [(re.sub(r"\d+", "0", line[1]).strip(), line.end()) for line in lines]


def _first_text(raw: str) -> int:
    return len(raw) - len(raw.lstrip())
