"""What goes with two things that a fact names: 'Who or what goes with "laboratory" and "Tolvimer Instruments"?'

A question in other words than its fact's has little more in common with it than a name and a noun. So these are what the answer
should come to mind for. In English only, as phrases are found there alone.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

from data_processor.curation import contains, words
from data_processor.pairs import Pair
from data_processor.small_model.cloze import Gap, usable_pairs
from data_processor.small_model.forms import clause_of
from data_processor.small_model.phrases import find_phrases
from data_processor.small_model.verbs import AUXILIARY, past_of
from data_processor.split import CUE

ASKED = dict(date="Which date", year="Which year", time="Which time", number="Which number", name="Who or what")
PER_ANSWER = 4


def cue_questions(gap: Gap, gaps: list[Gap]) -> list[Pair]:
    """Questions on what goes with two names, phrases or verbs of the answer's clause; `gaps` are all of its fact."""
    if {gap.prompts.language, gap.fact.chunk.text_language} != {"en"} or gap.kind == "phrase":
        return []
    cues = find_cues(gap, gaps)
    pairs = sorted(itertools.combinations(range(len(cues)), 2), key=sum)[:PER_ANSWER]
    texts = [f'{ASKED.get(gap.kind, "What")} goes with "{cues[one]}" and "{cues[other]}"?' for one, other in pairs]
    return [replace(pair, form=CUE) for text in texts for pair in usable_pairs(text, gap, "cue", labelled=False)]


def find_cues(gap: Gap, gaps: list[Gap]) -> list[str]:
    """What else the answer's clause has, that which tells most first: the subject, names, then phrases and past verbs, the nearest first."""
    left, right = clause_of(gap, gap.left, gap.right)
    clause, place = f"{left}{gap.answer}{right}", len(left)
    names = [other.answer for other in gaps if other.kind in ("name", "quoted") and other.answer in clause]
    verbs = [
        match.span() for match in re.finditer(r"[a-z]+", clause) if past_of(match[0]) and match[0] not in AUXILIARY
    ]
    others = sorted([*find_phrases(clause), *verbs], key=lambda span: min(abs(span[0] - place), abs(span[1] - place)))
    subject = gap.fact.subject if contains(gap.fact.chunk.title, gap.fact.subject) else ""  # else it is a guess
    found: list[str] = []
    for cue in [subject, *names, *(clause[start:end] for start, end in others)]:
        known = set(words(" ".join([gap.answer, *found])))
        if cue and not set(words(cue)) & known:
            found.append(cue)
    return found
