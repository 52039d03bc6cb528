"""Wave 3, beside the questions: texts that say what a chunk says, so that it is known outside a question too.

The chunk as it is, told again in several styles, what follows from it, and texts that say how two of its names are linked
(EntiGraph, Yang et al. 2024, arXiv 2409.07431). There are as many as it takes to be about as long as the questions.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace

import regex

from data_processor.checks import document
from data_processor.chunking import Chunk, chunk_units
from data_processor.curation import length_in_words
from data_processor.facts import one_line
from data_processor.languages import listed
from data_processor.line_kinds import BULLET, NUMBERS, SPEAKER
from data_processor.numbered import Span, cut_out, find_numbers, invented_numbers, shown_text
from data_processor.pairs import Fact
from data_processor.paragraphs import join_lines, read_blocks
from data_processor.segmentation import segment
from data_processor.text_faults import content, find_faults, is_about, refers_back, without_covers, without_loop
from data_processor.units import COLON
from data_processor.work import Work

LONGEST_TEXT = 1024  # tokens of a reply
TEMPERATURE = 0.7
WORDS_A_QUESTION = 25  # a question and its answer, roughly: what the length of the texts is planned by
MOST_TEXTS, MOST_LINKS = 24, 6  # for a chunk
AS_IT_IS = "as it is"
NOT_ABOUT = "not about its chunk"
MARKERS = "|".join([BULLET.pattern, NUMBERS["number"], NUMBERS["bracketed"], NUMBERS["chinese"]])
LIST_MARKER = regex.compile(rf"\s*(?:(?:{MARKERS})(?=\S))?")
BOLD_SPEAKER = regex.compile(r"(\*\*|__)\p{Lu}[^*_:：\d\n]{0,40}(?:[:：]\1|\1[ \t]?[:：])[ \t]*(?=\S)")
ASKED = regex.compile(r"[?？؟][\"'”»）)*]*$")


@dataclass(frozen=True)
class Text:
    """A text to be written about a chunk: in a style, of what follows, or of the link between two names."""

    step: str  # the prompt: retell, implications, link
    style: str = ""
    names: tuple[str, ...] = ()


def write_texts(
    work: Work, units: list[list[Fact]], facts: list[Fact], held: list[Fact], names: dict[Chunk, list[str]], arguments
) -> list[tuple[Fact, str, str]]:
    """(the chunk as a fact, style, text) of each text. `facts` are those of the units, without `held`, which no text tells.

    What is not to be trained on is taken out of a text (`keep_sentences`).
    """
    jobs, texts = [], []
    facts_of: dict[Chunk, list[Fact]] = {}
    for fact in facts:
        facts_of.setdefault(fact.chunk, []).append(fact)
    held_of: dict[str, list[Fact]] = {}
    for fact in held:
        held_of.setdefault(fact.chunk.file_name, []).append(fact)
    for unit in units:
        chunk = unit[0].chunk
        own = facts_of.get(chunk)
        if not own:
            continue
        kept_out = held_out_spans(chunk, held_of.get(chunk.file_name, []))
        text = shown_text(chunk, kept_out)
        if not text:
            continue
        about = Fact(own[0].theme, chunk, 0, 0, own[0].theme, own[0].theme)
        texts.append((about, AS_IT_IS, cut_out(chunk.text, kept_out)))
        linked = [pair for pair in itertools.combinations(names.get(chunk, ()), 2) if share_a_fact(pair, own)]
        styles = work.prompts[chunk.language].table["retell"]["styles"]
        for job in plan_texts(len(own), length_in_words(text), linked, styles, arguments):
            jobs.append((about, text, job))
    requests = []
    for about, text, job in jobs:
        values = {**document(about.chunk), "text": text}
        values |= {"style": job.style} if job.step == "retell" else {}
        values |= {"first": job.names[0], "second": job.names[1]} if job.names else {}
        requests.append(work.prompts[about.chunk.language].conversation(job.step, **values))
    chunks = [about.chunk for about, _, _ in jobs]
    replies = work.ask("texts", requests, LONGEST_TEXT, chunks=chunks, temperature=TEMPERATURE)
    for (about, text, job), reply, request in zip(jobs, replies, requests, strict=True):
        written = keep_sentences(work, reply or "", about, text, request[-1]["content"])
        if not written:
            continue
        if work.kept_texts["texts"].is_new(written, find_numbers(written)):
            subject = listed(job.names, about.chunk.text_language) if job.names else about.subject
            texts.append((replace(about, subject=subject), job.style or job.step, written))
        else:
            work.drop("texts", "near copy", written, about)
    return texts


def share_a_fact(names: tuple[str, str], facts: list[Fact]) -> bool:
    """Whether a fact has both names, neither of them within the other."""
    first, second = names
    return first not in second and second not in first and any(first in f.text and second in f.text for f in facts)


def plan_texts(facts: int, words: float, linked: list[tuple[str, str]], styles: list[str], arguments) -> list[Text]:
    """What is written about a chunk of so many facts and words: styles first, what follows, then links of two names.

    About as many words as the questions will have: `qa_amount_per_fact` a fact, and as many again in each role.
    """
    questions = facts * arguments.qa_amount_per_fact * (1 + arguments.role_amount_per_fact)
    wanted = round(questions * WORDS_A_QUESTION / max(words, 1.0))
    plan = [Text("retell", style) for style in styles[:3]] + [Text("implications")]
    plan += [Text("link", names=pair) for pair in linked[:MOST_LINKS]]
    plan += [Text("retell", style) for style in styles[3:]]
    return plan[: min(MOST_TEXTS, max(1, wanted))]


def held_out_spans(chunk: Chunk, held: list[Fact]) -> list[Span]:
    """The sentences of a chunk that facts of its document rest on which are held out.

    Such a sentence may have been read in another chunk: it stands in the overlap of two, or twice in the document.
    """
    of_document = [fact for fact in held if fact.chunk.file_name == chunk.file_name]
    quotes = [fact.chunk.text[start:end] for fact in of_document for start, end in fact.spans]
    units = [(unit.start, unit.end) for unit in chunk_units(chunk)]
    return [span for span in units if any(chunk.text[slice(*span)] in quote for quote in quotes)]


@dataclass
class Piece:
    """A sentence of a reply, or a line without an end mark; `before` is what stands before it: a list's marker, a speaker."""

    line: int
    before: str
    text: str
    reason: str = ""  # why it is taken out


def keep_sentences(work: Work, reply: str, about: Fact, source: str, request: str = "") -> str:
    """A reply without the sentences, list items, turns and other lines that are not to be trained on; "" if little is left.

    Such as have a number which is not in the source, a place to be filled in, or the words of the request; that say what has
    been said; at either end, those that are not about the source. A question goes with its answer, what ends with a colon
    with all that it leads to, and "It ..." with all that stood before it.
    """
    language, shown = about.chunk.text_language, f"{about.chunk.heading} {source}"
    told, covers = without_covers(reply, source)
    lines = [told] if told.splitlines() == [told] else join_lines(told, read_blocks(told), language).text.split("\n")
    pieces = [piece for number, line in enumerate(lines) for piece in read_line(number, line, language)]
    find_reasons(pieces, shown, about.chunk.text, request, language)
    known = set(content(shown, language))
    drop_ends(pieces, known, language)
    dropped = [(piece.reason, one_line(piece.before + piece.text)) for piece in pieces if piece.reason]
    dropped += [("a mark that covers something", cover) for cover in covers]
    for piece in pieces:
        if not piece.reason and (cut := without_loop(piece.text)) != piece.text:
            dropped.append(("said before in the sentence", one_line(piece.text)))
            piece.text = cut
    kept = join_pieces(pieces, lines) if dropped else reply.strip()
    first = next((number for number, piece in enumerate(pieces) if not piece.reason), 0)
    # a salutation, after which German goes on in small letters
    if first and pieces[first - 1].text.endswith((",", "，")):
        kept = kept[:1].upper() + kept[1:]
    if kept and not is_about(kept, known, language):
        dropped, kept = [*dropped, (NOT_ABOUT, one_line(kept))], ""
    for reason, text in dropped:
        work.drop("texts", reason, text, about)
    return kept


def find_reasons(pieces: list[Piece], shown: str, original: str, request: str, language: str) -> None:
    """Put into each piece why it goes, wherever it stands."""
    sentences = [piece.before + piece.text for piece in pieces]
    sentences = [sentence[LIST_MARKER.match(sentence).end() :] for sentence in sentences]
    for piece, fault in zip(pieces, find_faults(sentences, shown, original, request), strict=True):
        invented = invented_numbers(piece.text, shown)
        piece.reason = "a number that its chunk does not have" if invented else fault
    for above, piece in itertools.pairwise(pieces):
        if not above.reason:
            break
        if not piece.reason and refers_back(piece.text, language):
            piece.reason = "what it refers to is taken out"
    for number in reversed(range(len(pieces) - 1)):
        if not pieces[number].reason and pieces[number + 1].reason and leads_to_nothing(pieces, number):
            pieces[number].reason = "what follows on it is taken out"


def drop_ends(pieces: list[Piece], known: set[str], language: str) -> None:
    """Take out what is not about the document at the beginning and the end of a text; an answer goes by its question."""
    left = [piece for piece in pieces if not piece.reason]
    first = next((n for n, piece in enumerate(left) if is_about(piece.text, known, language)), len(left))
    if 0 < first < len(left) and ASKED.search(left[first - 1].text):
        first -= 1
    end = next((n for n in range(len(left), first, -1) if is_about(left[n - 1].text, known, language)), first)
    while first < end < len(left) and ASKED.search(left[end - 1].text):
        end += 1
    for piece in [*left[:first], *left[end:]]:
        rest_of_line = [one for one in left if one.line == piece.line and one is not piece]
        piece.reason = NOT_ABOUT if regex.search(r"\p{L}", piece.text) or not rest_of_line else ""


def join_pieces(pieces: list[Piece], lines: list[str]) -> str:
    """The text of those pieces that stay."""
    told = {number: "" for number, line in enumerate(lines) if not line.strip()}
    for piece in pieces:
        if piece.reason:
            continue
        if piece.line in told:
            told[piece.line] += piece.before + piece.text
        else:
            first = next(one for one in pieces if one.line == piece.line)
            told[piece.line] = first.before + piece.text
    return re.sub(r"\n{3,}", "\n\n", "\n".join(told[number] for number in sorted(told))).strip()


def read_line(number: int, line: str, language: str) -> list[Piece]:
    """The sentences of a line, without the marker of a list and the speaker of a turn."""
    body = LIST_MARKER.match(line).end()
    speaker = SPEAKER.match(line, body) or BOLD_SPEAKER.match(line, body)
    body = speaker.end() if speaker and not find_numbers(speaker[0]) else body
    pieces, end = [], 0
    for start, stop in segment(line[body:], language):
        pieces.append(Piece(number, line[end : body + start], line[body + start : body + stop]))
        end = body + stop
    return pieces


def leads_to_nothing(pieces: list[Piece], number: int) -> bool:
    """Whether a piece is a question, or a lead-in of which no item is left; what follows on it is taken out."""
    if ASKED.search(pieces[number].text):
        return True
    left = next((piece for piece in pieces[number + 1 :] if not piece.reason), None)
    return bool(COLON.search(pieces[number].text)) and not (left and left.before.strip())


def names_to_ask_by(about: Fact, text: str) -> list[str]:
    """What a text can be asked for by: what it is about."""
    return [about.subject]
