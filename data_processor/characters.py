"""Characters that only look different made the same, and what a file has around its text: its contents, a licence."""

from __future__ import annotations

import re
import unicodedata

import regex

from data_processor.contents import contents_edits
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
ILLUSTRATION = re.compile(r"\[Illustration(?::[^\]]{0,300})?\]")
GUTENBERG = (
    re.compile(r"\A(?s:.*?)^\*\*\* ?START OF TH[^\n]*(?:\n|\Z)", re.MULTILINE),
    re.compile(r"^\*\*\* ?END OF TH(?s:.*)\Z", re.MULTILINE),
)


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
    """Tables of contents and licences, and the marks of notes; `raw` has line feeds alone at its ends of lines."""
    edits = [Edit(*match.span(), kind=BOILERPLATE) for part in GUTENBERG if (match := part.search(raw))]
    edits += contents_edits(raw)
    edits += [Edit(*match.span(), kind=BOILERPLATE) for match in ILLUSTRATION.finditer(raw)]
    return edits + [Edit(*match.span(), kind=MARKUP) for match in NOTE_MARK.finditer(raw)]
