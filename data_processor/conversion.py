"""PDF and Word files as text that the other readers read: made once, kept in a file, and made again if the file changed.

A PDF becomes plain text by PDFium (pypdfium2), its lines as they were set, with a form feed between pages: running heads,
page numbers and wrapped lines are for the readers of plain text. A Word file becomes HTML by mammoth. Both libraries are
optional: requirements-documents.txt.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from utils import write_text

LIBRARIES = {".pdf": "pypdfium2", ".docx": "mammoth"}
KEPT_AS = {".pdf": ".txt", ".docx": ".html"}  # what the text is, added to the file's name
FOLDER = "converted"  # in a run's folder: the texts, under the names of their files
INSTALL = "bash shells/setup.sh requirements-documents.txt"
ENCRYPTED = "it is encrypted: save it without a password"
NO_TEXT_LAYER = "pages without text, as a scanner makes them: recognise the text (OCR) and save it again"
MARGIN = 0.08  # of a page's height, above and below: where running heads and page numbers stand
GAP = 1.3  # times the usual distance of lines: another paragraph
BLOCK_END = re.compile(r"(?<=</p>)|(?<=</h\d>)|(?<=</li>)|(?<=</tr>)|(?<=</table>)|(?<=</ul>)|(?<=</ol>)")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """A line of a page; `height` is where it begins, in points from the foot of the page, None if that is unknown."""

    text: str
    height: float | None = None
    in_margin: bool = False

    @property
    def form(self) -> tuple[str, int]:
        """The same for a running head on every page: its text, whatever the number, and its height to two points."""
        return re.sub(r"\d+", "0", self.text).strip(), round((self.height or 0) / 2)


def missing_library(suffix: str) -> str | None:
    """Why files with this suffix are left out on this machine, or None if they can be converted."""
    library = LIBRARIES[suffix]
    return None if find_spec(library) else f"{library}, which reads it, is not installed: {INSTALL}"


def convert(path: Path, kept: Path | None) -> tuple[str | None, str]:
    """The text of a PDF or Word file and "", or None and why it has none.

    `kept` is the file that keeps the text, with the time of the file it was made from; None: it is made and not kept.
    """
    time = path.stat().st_mtime_ns
    if kept is not None and kept.is_file() and kept.stat().st_mtime_ns == time:
        return kept.read_text(encoding="utf-8"), ""
    suffix = path.suffix.lower()
    reason = missing_library(suffix)
    if reason:
        return None, reason
    try:
        text = {".pdf": pdf_to_text, ".docx": docx_to_html}[suffix](path)
    except OSError as error:
        return None, f"it cannot be opened: {error.strerror or error}"
    except Exception as error:  # of the libraries, which raise whatever a broken file makes them meet
        return None, ENCRYPTED if "password" in str(error) else f"broken, or no {suffix} file ({error})"
    # so that it is read as it is written
    text = re.sub(r"\r\n?", "\n", text).encode("utf-8", "replace").decode("utf-8")
    if not text.strip():
        return None, NO_TEXT_LAYER if suffix == ".pdf" else "an empty file"
    if kept is not None:
        write_text(kept, text)
        os.utime(kept, ns=(time, time))
    return text, ""


def kept_file(out: str | Path | None, name: str) -> Path | None:
    """Where the text of a PDF or Word file called `name` is kept in a run's folder; None for others, or without a folder."""
    suffix = Path(name).suffix.lower()
    return Path(out) / FOLDER / f"{name}{KEPT_AS[suffix]}" if out and suffix in KEPT_AS else None


def docx_to_html(path: Path) -> str:
    """A Word file's headings, paragraphs, lists, tables and notes as HTML, a block a line, without pictures."""
    import mammoth

    with path.open("rb") as file:
        html = mammoth.convert_to_html(file, convert_image=lambda _: []).value
    return f"<!DOCTYPE html>\n<html><body>\n{BLOCK_END.sub(chr(10), html)}</body></html>\n" if html else ""


def pdf_to_text(path: Path) -> str:
    """The lines of all pages; what is above and below the text on several pages stands first on its page."""
    import pypdfium2

    with pypdfium2.PdfDocument(path) as document:
        pages = [read_page(page) for page in document]
    blank = sum(not page for page in pages)
    if 0 < blank < len(pages):
        log.warning("%s: %d of %d pages have no text (scanned, or empty)", path.name, blank, len(pages))
    counts = Counter(form for page in pages for form in {line.form for line in page if line.in_margin})
    texts = []
    for page in pages:
        running = [line for line in page if line.in_margin and counts[line.form] > 1]
        own = [line for line in page if line not in running]
        texts.append("\n".join([*(line.text for line in running), *with_blank_lines(own)]))
    return "\n\f".join(texts) + "\n" if any(pages) else ""


def read_page(page) -> list[Line]:
    """The lines of a page of pypdfium2, in the order in which they were set."""
    layer = page.get_textpage()
    text, height = layer.get_text_range(), page.get_height()
    placed = len(text) == layer.count_chars()  # else characters and places cannot be brought together
    lines, start = [], 0
    for part in re.split(r"(\r\n|\ufffe)", text):  # U+FFFE: a hyphen at the end of a line
        if part.strip("\r\n \ufffe"):
            first = start + len(part) - len(part.lstrip())
            place = layer.get_charbox(first, loose=True)[1] if placed else None
            in_margin = place is not None and not MARGIN * height <= place <= (1 - MARGIN) * height
            lines.append(Line(part.rstrip(), place, in_margin))
        elif part == "\ufffe" and lines:
            lines[-1] = Line(f"{lines[-1].text}-", lines[-1].height, lines[-1].in_margin)
        start += len(part)
    return lines


def with_blank_lines(lines: list[Line]) -> list[str]:
    """The texts of lines, with an empty one where more space than usual is between two lines of a column."""
    steps = [
        above.height - below.height if above.height is not None and below.height is not None else 0.0
        for above, below in itertools.pairwise(lines)
    ]
    usual = median([step for step in steps if step > 1] or [0.0])
    texts = [lines[0].text] if lines else []
    for line, step in zip(lines[1:], steps, strict=True):
        texts += [""] * (step > GAP * usual > 0) + [line.text]
    return texts
