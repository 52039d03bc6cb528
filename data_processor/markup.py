"""Markup of a document, found by what it is written in: front matter, HTML, Markdown, the marks of a wiki."""

from __future__ import annotations

import itertools
import re
import tomllib
from typing import Any

from data_processor.edits import METADATA, Edit, Markup, without_overlaps
from data_processor.html_text import is_html, read_html

MARKDOWN = (".md", ".markdown")
HTML = (".html", ".htm")
FRONT_MATTER = re.compile(
    r"\A\s*(?:---[ \t]*\n(?P<yaml>(?:.*\n)*?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)|\+\+\+[ \t]*\n(?P<toml>(?:.*\n)*?)\+\+\+[ \t]*(?:\n|\Z))"
)
YAML_KEY = re.compile(r"^[\w.-]+[ \t]*:(?=\s)", re.MULTILINE)
TITLE = re.compile(r"^title\s*[:=]\s*(.+)$", re.MULTILINE | re.IGNORECASE)
WIKI = re.compile(r"^(={2,6})[ \t]*[^\s=].*?[ \t]*\1[ \t]*$|'''|\[\[[^\]\n]+\]\]|</ref>", re.MULTILINE)
WIKI_MARK = re.compile(
    r"<ref\b[^>]*/>|<ref\b[^>]*>.*?</ref>|<!--.*?-->|\{\{[^{}]*\}\}"
    r"|<(?P<struck>del|s|strike)(?:\s[^<>]*)?>.{0,1000}?</(?P=struck)\s*>"
    r"|'{2,5}"
    r"|\[\[(?:[^\[\]|\n]*\|)?(?P<link>[^\[\]|\n]+)\]\]"
    r"|(?m:^(?P<level>={2,6})[ \t]*(?P<heading>[^\s=].*?)[ \t]*(?P=level)[ \t]*$)",
    re.DOTALL,
)
CUE = re.compile(  # of a subtitle: its number and its times, in SubRip or WebVTT
    r"\s*^(?:[^\n]*\n)?[ \t]*(?:\d+:)?\d\d:\d\d[,.]\d{3}[ \t]+-->[^\n]*\n", re.MULTILINE
)
WEBVTT = re.compile(r"\A\ufeff?WEBVTT\b(?:(?![^\n]*-->)[^\n]*\S[^\n]*\n)*")  # with the lines of its head
REMARK = re.compile(r"^(?:NOTE|STYLE|REGION)\b[^\n]*(?:\n[^\n]*\S[^\n]*)*", re.MULTILINE)  # of WebVTT
CUE_MARK = re.compile(
    r"</?[a-z][^<>\n]{0,80}>|\{\\[^{}\n]*\}|^[ \t]*[\[(♪][^\])♪\n]*[\])♪][ \t]*$", re.MULTILINE | re.IGNORECASE
)
VOICE = re.compile(r"^[ \t]*<v\b", re.MULTILINE)  # somebody else speaks
LOOK_BACK = 1000  # characters before a cue in which what was said last stands
ENDS_SENTENCE = re.compile(r"[.!?…。！？\])♪][\"'”’»)]*(?:</?\w+>)*\Z")


def read_markup(file_name: str, text: str) -> Markup:
    """What in a document is no text; `text` has line feeds alone at its ends of lines, and its file's length."""
    from data_processor.markdown_text import read_markdown  # brings a library that a bare machine lacks

    suffix = "." + file_name.rpartition(".")[2].lower()
    if suffix in HTML or (suffix not in MARKDOWN and is_html(text)):
        return with_title(read_html(text), text)
    if suffix not in MARKDOWN and (CUE.match(text) or (WEBVTT.match(text) and CUE.search(text))):
        return read_subtitles(text)
    metadata, start = front_matter(text)
    if suffix not in MARKDOWN and WIKI.search(text):
        found = read_wiki(text, start)
    else:
        found = read_markdown(text, start, is_plain=suffix not in MARKDOWN)
    if start:
        found.edits.insert(0, Edit(0, start, kind=METADATA))
        found.metadata, found.title = metadata, str(metadata.get("title") or "")
    return with_title(found, text)


def with_title(found: Markup, text: str) -> Markup:
    """The same, with the first heading as the title where the document gives none."""
    found.title = " ".join(found.title.split())
    for start, end in sorted(found.headings):
        if found.title:
            break
        inside = sorted(
            (edit for edit in found.edits if start <= edit.start and edit.end <= end), key=lambda one: one.start
        )
        words, position = "", start
        for edit in inside:
            words += text[position : edit.start] + edit.text
            position = edit.end
        found.title = " ".join((words + text[position:end]).split())
    return found


def front_matter(text: str) -> tuple[dict[str, Any], int]:
    """Metadata at the head of a text and the offset after it; ({}, 0) if there is none. All values are as written."""
    import yaml

    match = FRONT_MATTER.match(text)
    if match is None:
        return {}, 0
    source = match["yaml"] if match["yaml"] is not None else match["toml"]
    try:
        if match["toml"] is not None:
            metadata = {
                key: value if isinstance(value, dict | list) else str(value)
                for key, value in tomllib.loads(source).items()
            }
        else:
            metadata = yaml.load(source, Loader=yaml.BaseLoader)  # all scalars are strings: nothing is run or guessed
    except (yaml.YAMLError, tomllib.TOMLDecodeError):
        if match["yaml"] is not None and not YAML_KEY.search(source):
            return {}, 0
        title = TITLE.search(source)
        return ({"title": title[1].strip(" \"'")} if title else {}), match.end()
    if not isinstance(metadata, dict):
        return {}, 0  # text between two rules
    return metadata, match.end()


def read_wiki(text: str, start: int, end: int | None = None) -> Markup:
    """MediaWiki's headings, links, emphasis, notes and templates, in a text or a part of it."""
    found = Markup([], [], [])
    for mark in WIKI_MARK.finditer(text, start, len(text) if end is None else end):
        kept = "link" if mark["link"] else "heading" if mark["heading"] else None
        if kept is None:
            found.edits.append(Edit(*mark.span()))
            continue
        inside = read_wiki(text, *mark.span(kept)).edits
        found.edits += [Edit(mark.start(), mark.start(kept)), *inside, Edit(mark.end(kept), mark.end())]
        if kept == "heading":
            found.headings.append(mark.span())
    return found


def read_subtitles(text: str) -> Markup:
    """Numbers, times, styles and [sounds] of cues; the lines of a cue are one paragraph, and those of the next if it ends no sentence."""
    head = WEBVTT.match(text)
    found = Markup([Edit(*mark.span()) for mark in CUE_MARK.finditer(text)], [], [])
    if head:
        remarks = [Edit(*remark.span(), "\n\n") for remark in REMARK.finditer(text, head.end())]
        found.edits = without_overlaps([Edit(*head.span()), *remarks], found.edits)
    borders = [len(text)]
    start = head.end() if head else 0
    for cue in CUE.finditer(text, start):
        before = REMARK.sub("", text[max(start, cue.start() - LOOK_BACK) : cue.start()])
        before = CUE_MARK.sub("", CUE.sub("\n", before)).rstrip()
        goes_on = before and not ENDS_SENTENCE.search(before)
        found.edits.append(Edit(*cue.span(), "\n" if goes_on else "\n\n"))
        borders += [] if goes_on else [cue.end()]
    borders += [voice.start() for voice in VOICE.finditer(text)]
    found.paragraphs = list(itertools.pairwise(sorted(borders)))
    return found
