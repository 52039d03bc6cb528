"""The text of a file's bytes: read right, or not at all, with one line on what was not as it should be."""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import dataclass

import regex

BYTE_ORDER_MARKS = (  # the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
PYTHON_NAMES = {  # where a detector names the smaller of two code pages (https://encoding.spec.whatwg.org/#names-and-labels)
    "euc-kr": "cp949", "shift_jis": "cp932", "gbk": "gb18030", "gb2312": "gb18030", "windows-874": "cp874",
    "tis-620": "cp874", "iso-8859-1": "cp1252", "iso-8859-9": "cp1254", "iso-8859-8-i": "iso8859_8", "utf-8": "",
}  # fmt: skip
ALPHABETS = [  # the letters beside a to z of languages in one code page; tells cp1250 from cp1252 where detectors differ
    set(letters)
    for letters in (
        "àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúüªº", "àáâãçéêíóõúüªº", "àèéìíòóùúîªº", "åäöé", "æøåéóòêô", "áéíðóúýþæö",
        "éèëïóöüêç", "àçéèíïóòúü", "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž",
        "ăâîșțşţ", "çğıöşüâîû", "ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž",
    )
]  # fmt: skip
# From this confidence on, chardet was right wherever the two detectors differed (2,200 pieces of text, 19 languages).
SURE = 0.12
MOST_NAMED = 5  # bad bytes in a message
SAMPLE_BYTES = 65536  # of a file, shown to the detectors
GIBBERISH = regex.compile(
    r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f¤\ufffd\p{Co}\p{Cn}]"
    r"|[\p{Latin}--ªº]\p{M}*[\p{Cyrillic}\p{Greek}\p{Hebrew}\p{Arabic}\p{Thai}--µ]"  # a word in two scripts
    r"|[\p{Cyrillic}\p{Greek}\p{Hebrew}\p{Arabic}\p{Thai}--µ]\p{M}*[\p{Latin}--ªº]"
    r"|\p{Ll}\p{M}*[¦¨¬®¯±´¶¸¹²³](?=\p{L})|[¦¨¬¯±´¶¸](?=\p{Ll})|®(?=\p{Ll})"  # a sign inside a word
    r"|(?<=\p{Ll})[\p{Lu}--[A-Z]](?!\p{Ll}{2})",  # a capital that ends a word
    regex.VERSION1,
)
ANOTHER_SCRIPT = regex.compile(r"[\p{Cyrillic}\p{Greek}\p{Hebrew}\p{Arabic}\p{Thai}--µ]+", regex.VERSION1)


@dataclass(frozen=True)
class Decoded:
    """The `text` of some bytes, or None with the `reason`; a `remark` says what was repaired or guessed, "" if nothing."""

    text: str | None
    remark: str = ""
    reason: str = ""


def decode(data: bytes) -> Decoded:
    """Decode by byte order mark, as UTF-8 (with a few bad bytes too), or in the code page that two detectors agree on."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return decode_marked(data, mark, encoding)
    if b"\0" in data:
        return decode_with_nul(data)
    repaired = decode_utf8(data)
    return decode_code_page(data) if repaired is None else repaired


def decode_marked(data: bytes, mark: bytes, encoding: str) -> Decoded:
    """Bytes that begin with a byte order mark, without the mark."""
    if encoding == "utf-8":
        decoded = decode_utf8(data[len(mark) :], len(mark))
    else:
        try:
            decoded = Decoded(data.decode(encoding))
        except UnicodeDecodeError:
            decoded = None
    if decoded is None or decoded.text is None or "\0" in decoded.text:
        return Decoded(None, reason=f"marked as {encoding.upper()}, but its bytes are not: save it as UTF-8")
    return decoded


def decode_with_nul(data: bytes) -> Decoded:
    """Bytes with zeros: UTF-16 or UTF-32 without a mark, or no text."""
    import chardet

    encoding = (chardet.detect(data)["encoding"] or "").lower()
    if encoding.startswith(("utf-16", "utf-32")):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            text = "\0"
        if not GIBBERISH.search(text):
            return Decoded(text, f"read as {encoding}")
    return Decoded(None, reason="no text, or in no known encoding: save it as UTF-8")


def decode_utf8(data: bytes, offset: int = 0) -> Decoded | None:
    """UTF-8, repaired where a few bytes are bad; None if too many are. `offset` bytes stood before in the file.

    A single bad byte between letters of the Latin script is what Windows-1252 has for it (as ftfy and browsers do);
    anything else becomes U+FFFD, and a character cut off by the end of the file is left out.
    """
    try:
        return Decoded(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    bad, places = [], []
    rest, start = data, 0
    text: list[str] = []
    while True:
        try:
            text.append(rest.decode("utf-8"))
            break
        except UnicodeDecodeError as error:
            text.append(rest[: error.start].decode("utf-8"))
            places.append((start + error.start, rest[error.start : error.end]))
            if len(places) > 20 + len(data) // 100:
                return None
            bad.append(len(text))
            text.append("")
            start += error.end
            rest = data[start:]
    good = sum(1 for part in text for char in part if char > "\x7f")
    sparse = good + len(places) < len(data) / 4
    if good < len(places) * (1 if sparse else 5):
        return None
    latin = sparse and not regex.search(r"\p{Han}|\p{Kana}|\p{Hangul}", "".join(text))
    for index, (place, broken) in zip(bad, places, strict=True):
        text[index] = repair(broken, latin, at_end=place + len(broken) == len(data))
    named = [
        f"{broken.hex()} at byte {offset + place} (line {data.count(10, 0, place) + 1})"
        for place, broken in places[:MOST_NAMED]
    ]
    more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    return Decoded(
        "".join(text), f"UTF-8 with bytes that are not UTF-8, repaired: {', '.join(named)}{more}; check these places"
    )


def repair(broken: bytes, latin: bool, at_end: bool) -> str:
    """What takes the place of bytes that are not UTF-8, see decode_utf8; `latin`: the text around is in the Latin script."""
    if at_end and broken[0] >= 0xC2:
        return ""
    if latin and len(broken) == 1:
        text = broken.decode("cp1252", errors="replace")
        return "\ufffd" if GIBBERISH.search(text) else text
    return "\ufffd"


def decode_code_page(data: bytes) -> Decoded:
    """Bytes in a code page: what chardet and chardetng (Firefox's detector) both read; where they differ, what makes sense."""
    import chardet
    import chardetng_py
    from chardet.enums import EncodingEra

    sample = data[: data.rfind(b"\n", 0, SAMPLE_BYTES) + 1] if len(data) > SAMPLE_BYTES else data
    likely = chardet.detect(sample or data, encoding_era=EncodingEra.MODERN_WEB)
    first, second = (read_as(data, name) for name in (likely["encoding"], chardetng_py.detect(sample or data)))
    if first and second and first[0] == second[0]:
        return Decoded(first[0], f"read as {first[1]}")
    possible = [reading for reading in (first, second) if reading is not None]
    fewest = min((strange_letters(text) for text, _ in possible), default=0)
    possible = [reading for reading in possible if strange_letters(reading[0]) == fewest]
    if first in possible and likely["confidence"] >= SURE:
        possible = [first]
    elif len(possible) == 2:
        possible = [reading for reading in possible if reading[1] == "cp1252"] or possible
    elif possible == [first] or fewest:
        possible = []
    if len(possible) == 1:
        return Decoded(possible[0][0], f"read as {possible[0][1]}")
    found = f" (perhaps {' or '.join(name for _, name in possible)})" if possible else ""
    return Decoded(None, reason=f"in no known encoding{found}: save it as UTF-8")


def read_as(data: bytes, name: str | None) -> tuple[str, str] | None:
    """The text of `data` in the encoding that a detector named, and Python's name for it; None if it makes no sense."""
    encoding = PYTHON_NAMES.get((name or "").lower(), (name or "").lower().replace("windows-", "cp"))
    try:
        text = data.decode(encoding) if encoding else ""
    except (UnicodeDecodeError, LookupError):
        return None
    words = ANOTHER_SCRIPT.findall(text)
    lonely = bool(words) and max(map(len, words)) == 1  # an "à" in French that was taken for Russian
    return None if not text or lonely or GIBBERISH.search(text) else (text, encoding)


def strange_letters(text: str) -> int:
    """How many letters of the Latin script are outside the alphabet of the one language that fits best."""
    letters = Counter(char for char in text.lower() if char > "\x7f" and char.isalpha() and char < "\u0250")
    return min(sum(count for char, count in letters.items() if char not in alphabet) for alphabet in ALPHABETS)
