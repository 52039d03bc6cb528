"""What <sup> and <sub> say in a text: the mark of a note goes, a power stays one ("10^6", "m²"), a price and a time too.

A lone number is told by what it stands on: on a word, a year or the end of a clause it marks a note; on a letter, a unit or
another number it is a power. What is neither ("1st", "CO2") is read as it stands.
"""

from __future__ import annotations

import html
import re

import regex

SCRIPT = re.compile(
    r"<(?P<name>su[pb])(?:\s[^<>]*)?>(?P<inside>(?:(?!<su[pb]\b).){0,400}?)</(?P=name)\s*>", re.IGNORECASE | re.DOTALL
)
MARKS_BEFORE = re.compile(r"(?:<sup\b[^<>]*>(?:(?!</?sup\b).){0,400}</sup\s*>\s*)+\Z", re.IGNORECASE | re.DOTALL)
INLINE_TAG = re.compile(
    r"</?(?:a|abbr|b|cite|em|font|i|mark|small|span|strong|su[bp]|tt|u|var)\b[^<>]*>|<!--.*?-->", re.IGNORECASE
)
TAG = re.compile(r"<[^<>]*>")
CUT_TAG = re.compile(r"\A[^<>]*>|<[^<>]*\Z")  # at an end of a stretch of HTML
LINK = r"<a\b[^<>]*\bhref\s*=\s*[\"']?[^\"'\s<>]*#"  # to a place on a page
LINK_WITHIN = re.compile(rf"{LINK}|\]\(#", re.IGNORECASE)  # in HTML or in Markdown
LINK_AROUND = re.compile(rf"{LINK}[^<>]*>\s*(?:<(?:span|small)\b[^<>]*>\s*)*\Z", re.IGNORECASE)
NEAR = 300  # characters of HTML looked at before and after

MARK = r"(?:\d{1,3}|\p{Ll}|[*†‡§¶]{1,3})"
MARKS = regex.compile(rf"{MARK}(?:\s?[,;–-]\s?{MARK})*")
BRACKETED = regex.compile(r"(?:\[[^\[\]]{1,40}\]\s*)+|[,;\s]*")  # or what stands between two marks
TERM = r"(?:\d*[nkxij]|\d+)"
EXPONENT = regex.compile(rf"[-−–]?{TERM}(?P<more>[-−–+*/.]{TERM})*|\d+[-−–+]")  # or a charge: Ca2+
RAISED_DIGITS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
ISOTOPE = regex.compile(r"\p{Lu}\p{Ll}?(?!\p{Ll})")
SUM = regex.compile(r"\s*[=×*+^]")  # what stands before it is a power, even if it looks like a year
YEAR = regex.compile(r"(?<!\d)(?<![+=×^]\s?)(?:1[1-9]|20)\d\d(?:[-–/]\d\d)?$")
NUMBER = regex.compile(r"(?<![\p{L}\d])\d[\d.,'’]*$")
GROUPED = regex.compile(r"(?<!\d)\d{1,3}(?:[,.'’ \u202f]\d{3})+$")  # 1,250: nobody squares such a number
HOUR = regex.compile(r"(?<![\d.,:])(?:[01]?\d|2[0-4])$")
PRICE, CURRENCY = regex.compile(r"\p{Sc}\s?[\d.,]*\d$"), regex.compile(r"\s?(?:\p{Sc}|EUR|USD|CHF|zł|Kč|kr)")
CLAUSE_END = regex.compile(r"[.,;:!?…。，；：！？\"'”’»」』%‰\p{Sc}]$")
LONG_BEFORE = regex.compile(r"(?:\p{L}{3}|\p{Han}|\d{4})[^\p{L}\d\s]+$")
IN_BRACKETS = regex.compile(r"[(（\[][^()（）\[\]]*(?:\p{L}{3}|\p{Han}|\d{4})[^()（）\[\]]*[)）\]]$")
WORD = regex.compile(r"(?<![\p{L}\p{M}])\p{L}[\p{L}\p{M}'’-]*$")
CASED = regex.compile(r"[\p{Latin}\p{Cyrillic}\p{Greek}]")
ROMAN = regex.compile(r"[IVXLC]+")  # XIXe
VOWEL = regex.compile(r"[aeiouyаеёиоуыэюяєіїαεηιουω]|[^\p{Latin}\p{Cyrillic}\p{Greek}]", regex.IGNORECASE)
SQUARED = ("2", "3", "4")
UNIT = regex.compile(  # or a function: what may be taken for a word
    r"(?:[\d/(·⋅×]\s?|\bper\s)(?:in|mi|dam|rad|sec|mol|bar|inch|Pa|kPa|Nm|Hz)$|[µμ]m$|公里|厘米|千米$|米$"
    r"|(?<!\p{L})(?:feet|foot|inch(?:es)?|miles?|yards?|\p{L}{0,6}met(?:er|re)s?|metros?|Meter|sin|cos|tan|log|exp)$"
)


def find_scripts(text: str, start: int, end: int) -> dict[int, tuple[int, str]]:
    """Where a <sup> or <sub> begins in a text: where it ends, and what to write for it if that is not what stands in it."""
    found = {}
    for tag in SCRIPT.finditer(text, start, end):
        inside = seen(tag["inside"]).strip()
        before = text[max(start, tag.start() - NEAR) : tag.start()]
        after = seen(CUT_TAG.sub("", text[tag.end() : min(end, tag.end() + NEAR)]))
        if tag["name"].lower() == "sub":
            after = "" if text.startswith("<sup", tag.end()) else after  # SO4^2-
            new = lowered(inside, seen(CUT_TAG.sub("", before)), after)
        elif LINK_WITHIN.search(tag["inside"]) or LINK_AROUND.search(before) or text.startswith("](#", tag.end()):
            new = ""
        else:
            new = raised(inside, seen(CUT_TAG.sub("", MARKS_BEFORE.sub("", before))), after)
        if new != inside:
            found[tag.start()] = tag.end(), new
    return found


def seen(source: str) -> str:
    """What is read of a stretch of HTML, or of Markdown with its escapes, a line feed for each tag of a block."""
    words = TAG.sub("\n", INLINE_TAG.sub("", re.sub(r"\s+", " ", source)))
    return re.sub(r"\\(?=[][()*†‡§])", "", html.unescape(words))


def lowered(content: str, before: str, after: str) -> str:
    """What to write for a <sub>: a number beside another one is kept apart from it ("1010_2", "log2 8")."""
    if not content.isdecimal():
        return content
    return ("_" if before[-1:].isdecimal() else "") + content + (" " if after[:1].isdecimal() else "")


def raised(content: str, before: str, after: str) -> str:
    """What to write for a <sup> between these texts."""
    base = before.rstrip(" \u00a0*_`~")  # with the marks of Markdown
    if BRACKETED.fullmatch(content):
        return ""
    if after.lstrip()[:1] in tuple("/⁄") and content.isdecimal():  # 1 1/2
        return f" {content}" if before[-1:].isdecimal() else content
    if not base or base.endswith("\n"):  # the number of a note itself, or an isotope
        return f"{content} " if content.isdecimal() and after[:1].isalpha() and not ISOTOPE.match(after) else content
    if before[-1:].isspace() and after[:1].isalnum():
        return content  # the 14C method
    if len(content) == 2 and content.isdecimal() and not SUM.match(after):
        if PRICE.search(base) or (base[-1:].isdecimal() and CURRENCY.match(after)):
            return f".{content}"
        hour = HOUR.search(base)
        if hour and (content == "00" or (content in ("15", "30", "45") and hour[0] not in ("2", "10"))):
            return f":{content}"
    mark = content.strip("()")
    if MARKS.fullmatch(mark) and marks_note(mark, base, after):
        return ""
    return power(content, base)


def power(content: str, base: str) -> str:
    """An exponent as it is written in plain text; what is none ("1st") as it stands."""
    exponent = EXPONENT.fullmatch(content)
    if not exponent or not regex.search(r"[\p{L}\d)\]}|]$", base):
        return content
    content = re.sub("[−–]", "-", content)
    if base[-1].isalpha() and content.lstrip("-").isdecimal():
        return content.translate(RAISED_DIGITS)
    return f"^({content})" if exponent["more"] and not content.replace(".", "").isdecimal() else f"^{content}"


def marks_note(content: str, base: str, after: str) -> bool:
    """Whether a small number, letter or sign marks a note on what stands before it."""
    is_letter = content[0].isalpha()
    if YEAR.search(base):
        return not SUM.match(after) and content[0] not in "eo"  # of ordinals: the 1500e
    if CLAUSE_END.search(base):
        return not is_letter or bool(LONG_BEFORE.search(base))  # not n.o, 1.er
    if base[-1] in ")）]":  # "*" may say in a grammar how often
        return content != "*" and bool(IN_BRACKETS.search(base))
    if word := WORD.search(base):
        return marks_word(content, word[0], base)
    if not base[-1].isdecimal():
        return False
    number = NUMBER.search(base)
    if is_letter:  # not 1a, 100e, 3o, 10n
        digits = number[0] if number else ""
        return content[0] in "bcfg" or (len(digits) > 2 and content[0] not in "eonkxij")
    if GROUPED.search(base) or (PRICE.search(base) and len(content) == 1) or content[0] in "*†‡§¶":
        return True
    is_power = number and number[0] in ("2", "10")
    return (content == "1" or "," in content) and not is_power and not SUM.match(after)


def marks_word(content: str, word: str, base: str) -> bool:
    """The same, where it stands on a letter, a unit or a word."""
    if content[0].isalpha():  # not Mr, XIXe, Profa
        return len(word) > (4 if content[0] in "ao" else 2) and not (ROMAN.fullmatch(word) or UNIT.search(base))
    if not CASED.match(word):
        return not (content in SQUARED and UNIT.search(base))
    if len(word) == 1:
        return False
    is_symbol = word.islower() and len(word) < 4 and not VOWEL.search(word)  # km, mc
    return content not in SQUARED or not (is_symbol or UNIT.search(base))
