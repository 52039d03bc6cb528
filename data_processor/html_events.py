"""What the parser of the standard library finds in HTML, in order, and of it what a reader does not see."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import regex

from data_processor.edits import BOILERPLATE, MARKUP, METADATA

BLOCKS = set(
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure form "
    "h1 h2 h3 h4 h5 h6 head header hr html legend li main menu ol option p pre search section summary table tbody "
    "td tfoot th thead title tr ul".split()
)
INLINE = set(
    "a abbr acronym area audio b base basefont bdi bdo big br canvas cite code col colgroup data del dfn em embed font i "
    "iframe img input ins kbd label link map mark meta meter object output param picture progress q rp rt ruby s samp "
    "small source span strike strong sub sup time track tt u var video wbr".split()
)
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
LEFT_OUT = {  # what a reader does not see, or does not read, with everything in it
    "script": MARKUP, "style": MARKUP, "template": MARKUP, "svg": MARKUP, "math": MARKUP, "noscript": BOILERPLATE,
    "nav": BOILERPLATE, "footer": BOILERPLATE, "button": BOILERPLATE, "select": BOILERPLATE, "textarea": BOILERPLATE,
    "title": METADATA, "del": MARKUP, "s": MARKUP, "strike": MARKUP,
}  # fmt: skip
STRUCK = ("del", "s", "strike")  # left out where they are closed: a lost tag must not take the rest of a page
# As word processors strike:
LINE_THROUGH = re.compile(r"text-decoration(?:-line)?\s*:[^;]*\bline-through\b", re.IGNORECASE)
NOT_SHOWN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)
POINTS_AT = ("aria-controls", "data-target", "data-bs-target", "href")  # what a link or a button shows
ACCORDION = re.compile(r"\b(?:accordion|collapsible|faq)", re.IGNORECASE)  # the class of a button that opens an answer
PAGE = ("html", "body", "main")  # hidden until its script has run
WORD, LETTER = regex.compile(r"[\p{L}\p{N}]"), regex.compile(r"\p{L}")
LONGEST_SPAN = 1000  # columns or rows, as in browsers


@dataclass
class Event:
    """What the parser found from `start` to `end`: "open", "close", "data", "reference" or "other"."""

    kind: str
    name: str
    start: int
    end: int = 0
    text: str = ""  # as it is read
    width: int = 1  # columns and rows of a cell
    height: int = 1
    struck: bool = False  # opens what is struck through
    hidden: bool = False  # opens what is not shown
    ornament: bool = False  # opens what is not read out, or a way back to a note: if it has no words, it says nothing
    expands: bool = False  # opens the button above what it shows, such as a question

    @property
    def words(self) -> bool:
        """Whether it is text with letters or digits."""
        return bool(WORD.search(self.text))


class Events(HTMLParser):
    """The events of a text in order; unknown tags, such as <jens@example.org>, are data."""

    def __init__(self, text: str, start: int, end: int) -> None:
        super().__init__(convert_charrefs=False)
        self.events: list[Event] = []
        self.shown: set[str] = set()  # ids of what is hidden until a link or a button shows it
        self.ids: dict[int, str] = {}
        self.line_starts = [start, *(found.end() for found in re.compile("\n").finditer(text, start, end))]
        self.feed(text[start:end])
        self.close()
        for event, following in zip(self.events, [*self.events[1:], Event("other", "", end)], strict=True):
            event.end = following.start
            if event.kind == "reference":
                event.text = html.unescape(text[event.start : event.end])
        for number, name in self.ids.items():
            self.events[number].hidden &= name not in self.shown

    def add(self, kind: str, name: str = "") -> None:
        line, column = self.getpos()
        self.events.append(Event(kind, name, self.line_starts[line - 1] + column))

    def tag(self, kind: str, name: str) -> None:
        known = name in BLOCKS or name in INLINE or name in LEFT_OUT
        self.add(kind if known else "data", name)

    def handle_starttag(self, tag, attrs):
        self.tag("open", tag)
        told, event = {name: value or "" for name, value in attrs}, self.events[-1]
        event.struck = tag in STRUCK or (tag in INLINE and bool(LINE_THROUGH.search(told.get("style", ""))))
        event.expands = tag == "button" and expands(told)
        unread = told.get("aria-hidden") == "true"
        event.ornament = unread or (tag == "a" and told.get("href", "").startswith("#"))
        event.hidden = tag not in PAGE and (is_hidden(told) or (unread and "icon" in told.get("class", "")))
        self.shown |= {told[name].removeprefix("#") for name in POINTS_AT if name in told}
        if told.get("id"):
            self.ids[len(self.events) - 1] = told["id"]
        if tag in ("td", "th"):
            self.events[-1].width = span_of(attrs, "colspan") or 1
            self.events[-1].height = span_of(attrs, "rowspan") or LONGEST_SPAN  # 0: all rows that follow

    def handle_endtag(self, tag):
        self.tag("close", tag)

    def handle_startendtag(self, tag, attrs):
        self.tag("open" if tag not in LEFT_OUT else "other", tag)

    def handle_data(self, data):
        self.add("data")
        self.events[-1].text = data

    def handle_entityref(self, name):
        self.add("reference")

    handle_charref = handle_entityref

    def handle_comment(self, data):
        self.add("other")

    handle_decl = handle_pi = unknown_decl = handle_comment


def span_of(attrs: list[tuple[str, str | None]], name: str) -> int:
    value = (dict(attrs).get(name) or "").strip()
    return min(int(value), LONGEST_SPAN) if value.isdecimal() else 1


def is_hidden(attributes: dict[str, str]) -> bool:
    """Whether an element is not shown, and is no tab that a reader may choose, nor found by the search of a browser."""
    if attributes.get("role") == "tabpanel" or attributes.get("hidden") == "until-found":
        return False
    return "hidden" in attributes or bool(NOT_SHOWN.search(attributes.get("style", "")))


def expands(attributes: dict[str, str]) -> bool:
    """Whether a button shows and hides what stands below it, and is not that of a menu."""
    toggles = attributes.get("data-bs-toggle") or attributes.get("data-toggle") or "collapse"
    if "aria-haspopup" in attributes or toggles not in ("collapse", "tab", "pill"):
        return False
    points_at = any(name in attributes for name in POINTS_AT) or "aria-expanded" in attributes
    return points_at or bool(ACCORDION.search(attributes.get("class", "")))


def hides(tag: str) -> bool:
    """Whether a tag by itself, "<s>", strikes or hides what it opens."""
    [event] = Events(tag, 0, len(tag)).events
    return event.struck or event.hidden or event.name in ("template", "noscript", "script", "style")


def unseen_elements(events: list[Event]) -> set[int]:
    """Indices of the events that open an element that is struck, hidden or an ornament, and which is closed."""
    found, opened = set(), {}
    for index, event in enumerate(events):
        if event.kind == "open":
            opened.setdefault(event.name, []).append(index)
        elif event.kind == "close" and opened.get(event.name):
            index_of_open = opened[event.name].pop()
            start = events[index_of_open]
            bare = start.ornament and not any(one.words for one in events[index_of_open:index])
            if start.struck or start.hidden or bare:
                found.add(index_of_open)
    return found


def buttons_read(events: list[Event]) -> set[int]:
    """Indices of the events that open a button which is text: it opens an answer, or has the words of a heading, all of them."""
    found: set[int] = set()
    in_heading: list[int] | None = None  # buttons
    is_inside = False
    for index, event in enumerate(events):
        if event.name in HEADINGS:
            found.update(in_heading or ())
            in_heading, is_inside = ([] if event.kind == "open" else None), False
        elif event.name == "button":
            is_inside = event.kind == "open"
            if is_inside and event.expands:
                found.add(index)
            elif is_inside and in_heading is not None:
                in_heading.append(index)
        elif in_heading is not None and not is_inside and LETTER.search(event.text):
            in_heading = None  # beside these words it is "Copy" or "Edit"
    return found
