"""The inline part of Markdown by markdown-it: where in a paragraph its marks are, and what is left without them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from data_processor.html_events import hides
from data_processor.superscripts import find_scripts

LINE_BREAK = re.compile(r"<br\b[^<>]*>(?P<end>[ \t]*\n)?", re.IGNORECASE)
TAG = re.compile(r"<(?P<close>/?)(?P<name>[a-z][\w-]*)(?:\s[^<>]*)?(?<!/)>$", re.IGNORECASE)
WORD = re.compile(r"\w")
FIRST_WORD = re.compile(r"[\"'“„«(\[*_¿¡$€£¥]*\w")


class PlacedState(StateInline):
    """A state that notes in `meta["at"]` of every token where in the inline source it begins."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.at = self.pending_at = self.pushed = 0

    def push(self, ttype: str, tag: str, nesting: int) -> Token:
        token = super().push(ttype, tag, nesting)
        token.meta = {**token.meta, "at": self.at + self.pushed}
        self.pushed += 1  # the marks of one run ("**") are pushed one by one
        return token

    def pushPending(self) -> Token:
        token = super().pushPending()
        token.meta = {"at": self.pending_at}
        return token


class PlacedInline(ParserInline):
    def parse(self, src: str, md: MarkdownIt, env, tokens: list[Token]) -> list[Token]:
        state = PlacedState(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


def note_place(state: PlacedState, silent: bool) -> bool:
    """An inline rule before all others which only notes where the others begin."""
    if not silent:
        state.at, state.pushed = state.pos, 0
        if not state.pending:
            state.pending_at = state.pos
    return False


def marks(token: Token, is_plain: bool) -> Iterable[tuple[int, int, str]]:
    """(start, end, replacement) of what is no text in the content of an inline token."""
    position = 0
    for start, end, new in kept(token.content, token.children or [], is_plain):
        if position < start:
            yield position, start, ""
        if new is not None:
            yield start, end, new
        position = max(position, end)
    if position < len(token.content):
        yield position, len(token.content), ""


def kept(source: str, children: list[Token], is_plain: bool) -> Iterable[tuple[int, int, str | None]]:
    """(start, end, replacement or None) of what stays of an inline source, in order; struck and hidden text does not."""
    struck, no_marks = 0, no_emphasis(source, children) if is_plain else set()
    tags, scripts, resume = unseen_tags(children), find_scripts(source, 0, len(source)), 0
    for child in children:
        at = (child.meta or {}).get("at", 0)
        if at < resume:  # within a <sup>
            continue
        if id(child) not in no_marks:
            struck += {"s_open": 1, "s_close": -1}.get(child.type, 0) + tags.get(id(child), 0)
        if child.type in ("softbreak", "hardbreak"):
            at = source.index("\n", at)
            yield at, at + 1, None
        elif struck:
            continue
        elif child.type == "html_inline" and at in scripts:
            resume, new = scripts[at]
            if new:
                yield at, resume, new
        elif child.type == "text" and child.content:
            yield at, at + len(child.content), None
        elif id(child) in no_marks:
            begin = mark_start(child)
            yield begin, begin + len(child.markup), None
        elif child.type == "text_special":
            yield at, at + len(child.markup), child.content
        elif child.type == "code_inline":
            ticks = len(child.markup)
            end = source.index(child.markup, at + ticks)
            yield at + ticks, end, None
        elif child.type == "html_inline" and (br := LINE_BREAK.match(source, at)) and not br["end"]:
            yield at, at + len(child.content), "\n"


def unseen_tags(children: list[Token]) -> dict[int, int]:
    """1 for a tag that strikes or hides the text after it and -1 for the one that closes it, by the ids of their tokens."""
    found, opened = {}, []
    for child in children:
        tag = TAG.match(child.content) if child.type == "html_inline" else None
        if tag and tag["close"]:
            place = next((n for n in reversed(range(len(opened))) if opened[n][0] == tag["name"].lower()), None)
            if place is not None and opened[place][2]:
                found |= {opened[place][1]: 1, id(child): -1}
            del opened[len(opened) if place is None else place :]
        elif tag:
            opened.append((tag["name"].lower(), id(child), hides(child.content)))
    return found


def mark_start(token: Token) -> int:
    """Where a mark of emphasis begins: "**" is two tokens, and the second of them becomes the opening one."""
    return token.meta["at"] - (token.type == "strong_open")


def no_emphasis(source: str, children: list[Token]) -> set[int]:
    """The ids of tokens that are marks in Markdown, and hardly so in plain text: 2*3*4, "(12 ha)*, (15 ha)*", a~~b~~c."""
    found, opened = set(), []
    for child in children:
        if child.type in ("em_open", "strong_open", "s_open"):
            opened.append(child)
        elif child.type in ("em_close", "strong_close", "s_close"):
            opening = opened.pop()
            start, end = mark_start(opening), child.meta["at"] + len(child.markup)
            inside, after = source[start + len(opening.markup) : child.meta["at"]], source[end : end + 1]
            is_name = opening.markup == "__" and inside.isidentifier()  # __init__
            before = source[max(0, start - 1) : start]
            after = "" if opening.type == "s_open" else after  # ~~40~~45
            if is_name or WORD.match(before) or WORD.match(after) or not FIRST_WORD.match(inside):
                found |= {id(opening), id(child)}
    return found
