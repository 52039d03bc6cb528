"""What a page has and its text has not: page numbers, running heads and feet, tables of contents.

A number that stands alone, or at the end of a dotted line, is as often a value: which it is the whole text tells.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import regex

from data_processor.edits import BOILERPLATE, Edit

HEAD_LINES = 4  # of a page, that may be its running head, or its foot
LONGEST_FOOT = 80  # characters that a foot says beside the number
LEAST_NUMBERS = 3  # lone numbers that rise by a constant step count pages if there are so many
LEAST_TEXT = 60  # letters and digits between two of them: a page has more, a list of values fewer
STEPS = (1, 2)  # every page has its number, or every other page
NOT_SPACE = regex.compile(r"\S")
LINE = regex.compile(r"[^\n\f]*\S[^\n\f]*")
WORD_CHARACTER = regex.compile(r"<[^<>\n]*>(*SKIP)(*FAIL)|[\p{L}\p{N}]")
MARKED_NUMBER = regex.compile(
    r"(?m:^|(?<=\f))[ \t]*(?:[-–—][ \t]*\d{1,4}[ \t]*[-–—]|(?:[Pp]age|PAGE|S\.)[ \t]*\d{1,4}(?:[ \t]*(?:of|/)[ \t]*\d{1,4})?"
    r"|(?:[Ss]eite|[Pp]ágina|[Сс]тр\.?)[ ]\d{1,4}[ ](?:sur|von|de|из)[ ]\d{1,4}|第[ \t]*\d{1,4}[ \t]*页)[ \t]*(?=[\n\f]|\Z)"
)
BARE_NUMBER = regex.compile(
    r"(?m:^|(?<=\f))[ \t]*(\d{1,3})(?:[ \t]*/[ \t]*(\d{1,4}))?[ \t]*(?=[\n\f]|\Z)"
)  # not a year
NUMBER_AT_THE_RIGHT = regex.compile(  # of what the foot of a page says besides
    r"(?<=\S)(?: {3,}| *\t[ \t]*)(?:[Pp]age|[Ss]eite|[Pp]ágina|[Сс]тр\.?)[ ]\d{1,4}[ ](?:of|sur|von|de|из)[ ]\d{1,4}[ \t]*(?=[\n\f]|\Z)"
)
SENTENCES = regex.compile(r".*[。！？]|.*[.!?…][\"'”’»)]*(?=\s+[\"'“„«(]*\p{Lu}|$)")
IN_SENTENCE = regex.compile(r"[。！？]|(?=(?:.*?\p{L}+){3}).*(?<!\p{L})\p{Ll}")  # three words, and one that is no name


PAGE_NUMBER = regex.compile(
    r"(?:[Pp]age|PAGE|[Ss]eite|S\.|[Pp]ágina|[Сс]тр\.?)[ \t]*\d{1,4}(?:[ \t]*(?:of|sur|von|de|из|/)[ \t]*\d{1,4})?|第[ \t]*\d{1,4}[ \t]*页"
)
COLUMNS = regex.compile(r" {2,}|[ ]*\t[ \t]*")


def running_line(parts: Iterable[str]) -> str:
    """Of what is taken out between pages, the line that most of them have, without the page's number; "" if it says nothing.

    It may be the only place that tells whose text it is.
    """
    lines = (PAGE_NUMBER.sub("", line).strip(" \t|–—-") for part in parts for line in part.splitlines())
    counts = Counter(COLUMNS.sub(", ", line) for line in lines if regex.search(r"\p{Lu}.*\p{L}{3}|\p{Lo}{2}", line))
    line, count = next(iter(counts.most_common(1)), ("", 0))
    return line if count > 1 and len(line) <= LONGEST_FOOT else ""


def page_edits(raw: str, rows: Sequence[tuple[int, int]] = (), has_paragraphs: bool = False) -> list[Edit]:
    """Page breaks and numbers with the running heads and feet around them; a sentence that goes on stays in one paragraph.

    `raw` has line feeds alone at its ends of lines, `rows` are the rows of tables that markup tells, in order. With
    `has_paragraphs` it tells where paragraphs end too: then a number is no border of a page.
    """
    feeds = [feed.span() for feed in regex.finditer("\f", raw)]
    numbers = page_numbers(raw, rows)
    edges = [0, *itertools.chain.from_iterable(_merged(raw, [*feeds, *numbers])), len(raw)]
    texts = _own_texts(raw, list(zip(edges[::2], edges[1::2], strict=True)))
    if not texts or (has_paragraphs and not feeds):
        return [_line_edit(raw, *number) for number in numbers]
    edits = []
    if raw[: texts[0][0]].strip():
        edits.append(Edit(0, _line_start(raw, texts[0][0]), kind=BOILERPLATE))
    edits += [_gap(raw, end, start) for (_, end), (start, _) in itertools.pairwise(texts)]
    end = texts[-1][1]
    if raw[end:].strip():
        edits.append(Edit(max(end, _line_start(raw, _text_start(raw, end))), len(raw), kind=BOILERPLATE))
    return edits


def _line_edit(raw: str, start: int, end: int) -> Edit:
    """A page number, with the end of its line if it has the line to itself."""
    return Edit(start, end + (start == _line_start(raw, start) and raw.startswith("\n", end)), kind=BOILERPLATE)


def over_pages(edits: list[Edit]) -> list[tuple[int, int]]:
    """Of the edits by `page_edits`, the breaks within a sentence, each with the character before it and the one after it."""
    return [(edit.start - 1, edit.end + 1) for edit in edits if (edit.text, edit.kind) == ("\n", BOILERPLATE)]


def _gap(raw: str, start: int, end: int) -> Edit:
    """What parts the texts of two pages."""
    if regex.search(r"[\p{L}\d,;\u00ad-]", raw[start - 1]) and regex.match(r"\p{Ll}", raw[end]):
        return Edit(start, end, "\n", BOILERPLATE)
    below = _line_start(raw, end)
    line = _line_start(raw, _text_start(raw, start))  # that is taken out
    if line <= start or regex.search(r"\f|\n[ \t]*\n", raw[start:end]):
        return Edit(start, below, "\n\n", BOILERPLATE)
    return Edit(line, below, kind=BOILERPLATE)


def _merged(raw: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those with only space between them as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and not raw[merged[-1][1] : start].strip():
            start = merged.pop()[0]
        merged.append((start, end))
    return merged


def _own_texts(raw: str, pages: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of pages the stretches without running heads and feet; those with nothing else have none."""
    feeds = [feed.start() for feed in regex.finditer("\f", raw)]
    numbers = [bisect.bisect(feeds, start) if feeds else number for number, (start, _) in enumerate(pages)]
    tops = [list(itertools.islice(_lines(raw, *page), HEAD_LINES)) for page in pages]
    bottoms = [list(itertools.islice(_lines_backwards(raw, *page), HEAD_LINES)) for page in pages]
    texts = []
    for (start, end), head, foot in zip(
        pages, _running(raw, tops, numbers), _running(raw, bottoms, numbers), strict=True
    ):
        start, end = (head[-1][1] if head else start), (foot[-1][0] if foot else end)
        if raw[start:end].strip():
            texts.append((_text_start(raw, start), _text_end(raw, end)))
    return texts


def _running(raw: str, edges: list[list[tuple[int, int]]], numbers: list[int]) -> list[list[tuple[int, int]]]:
    """Of the lines at the top or the bottom of each page, from the edge inwards, those that another page has too."""
    forms = [
        [_forms(raw[slice(*line)], number) for line in lines] for lines, number in zip(edges, numbers, strict=True)
    ]
    counts = Counter((place, form) for page in forms for place, line in enumerate(page) for form in line)
    recur = [[any(counts[place, form] > 1 for form in line) for place, line in enumerate(page)] for page in forms]
    return [
        list(itertools.compress(lines, itertools.takewhile(bool, page)))
        for lines, page in zip(edges, recur, strict=True)
    ]


def _forms(line: str, page: int) -> set[str]:
    """What another page may have as well: the line, or the line with one of its numbers counting the pages."""
    words = " ".join(line.split())
    numbers = regex.finditer(r"\d{1,4}", words)
    return {words, *(f"{words[: one.start()]}\f{int(one[0]) - page}\f{words[one.end() :]}" for one in numbers)}


def page_numbers(raw: str, rows: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """Where page numbers stand, each with the rest of its line but for a sentence; a cell of a table is none."""
    bare = [one for one in BARE_NUMBER.finditer(raw) if not _within(rows, one.start())]
    found = [one.span() for one in bare if _beside_a_break(raw, one)]
    for step in STEPS:
        found += [one.span() for one in _counting(raw, bare, step)]
    marked = [*(one.span() for one in MARKED_NUMBER.finditer(raw)), *_at_the_right(raw)]
    return sorted({*found, *(span for span in marked if not _within(rows, span[0]))})


def _within(spans: Sequence[tuple[int, int]], place: int) -> bool:
    number = bisect.bisect_right(spans, place, key=lambda span: span[0]) - 1
    return number >= 0 and place < spans[number][1]


def _beside_a_break(raw: str, number: regex.Match) -> bool:
    """Whether a line is the first or the last of a page; the text's own ends are a page's if it has others."""
    before, after = _text_end(raw, number.start()), _text_start(raw, number.end())
    if "\f" in raw[before : number.start()] or "\f" in raw[number.end() : after]:
        return True
    return (before == 0 or after == len(raw)) and "\f" in raw


def _counting(raw: str, numbers: list[regex.Match], step: int) -> list[regex.Match]:
    """Of lone numbers, in order, those that count pages.

    If two lines have the number that comes next, which of them is the page's is not told, and neither is taken.
    """
    runs: list[list[regex.Match]] = []
    last: dict[tuple[str, int], list[regex.Match]] = {}  # runs by "of how many", and the number they have come to
    doubtful: set[regex.Match] = set()
    for one in numbers:
        total, value = one[2], int(one[1])
        run = last.get((total, value - step), [])
        if run and _has_text(raw, run[-1].end(), one.start()):
            del last[total, value - step]
        elif len(last.get((total, value), [])) > 1:
            doubtful.add(last[total, value][-1])
            continue
        else:
            runs.append(run := [])
        run.append(one)
        last[total, value] = run
    joined: list[list[regex.Match]] = []
    for run in sorted((run for run in runs if len(run) > 1), key=lambda run: run[0].start()):
        skipped = [int(run[0][1]) - int(before[-1][1]) for before in joined[-1:] if before[-1].end() < run[0].start()]
        if skipped and step < skipped[0] <= 3 * step:  # a picture or the beginning of a chapter has no number
            joined[-1] += run
        else:
            joined.append(run)
    return [one for run in joined if len(run) >= LEAST_NUMBERS for one in run if one not in doubtful]


def _has_text(raw: str, start: int, end: int) -> bool:
    letters = itertools.islice(WORD_CHARACTER.finditer(raw, start, end), LEAST_TEXT)
    return sum(1 for _ in letters) == LEAST_TEXT


def _at_the_right(raw: str) -> Iterator[tuple[int, int]]:
    """Feet with a page's number at the right: whole lines, but for sentences that end before a foot begins."""
    found = [(_line_start(raw, one.start()), one.start(), one.end()) for one in NUMBER_AT_THE_RIGHT.finditer(raw)]
    counts = Counter(raw[line:number].strip() for line, number, _ in found)
    for line, number, end in found:
        sentences = SENTENCES.match(raw[line:number])
        if counts[raw[line:number].strip()] == 1 and sentences and IN_SENTENCE.search(sentences[0]):
            line = _text_start(raw, line + sentences.end())
        if number - line <= LONGEST_FOOT:
            yield line, end


def _lines(raw: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return (line.span() for line in LINE.finditer(raw, start, end))


def _lines_backwards(raw: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while (end := _text_end(raw, end)) > start:
        line = max(start, _line_start(raw, end))
        yield line, end
        end = line


def _line_start(raw: str, place: int) -> int:
    return max(raw.rfind("\n", 0, place), raw.rfind("\f", 0, place)) + 1


def _text_start(raw: str, place: int) -> int:
    """Where the first character from a place on is that is no space."""
    found = NOT_SPACE.search(raw, place)
    return found.start() if found else len(raw)


def _text_end(raw: str, place: int) -> int:
    """Where the last character before a place ends that is no space."""
    while place and raw[place - 1].isspace():
        place -= 1
    return place
