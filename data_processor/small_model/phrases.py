"""What can be asked for in an English sentence without names, dates and numbers: phrases between its function words.

After RAKE (Rose et al. 2010), whose candidates are the longest runs of words that are no stop words.
"""

from __future__ import annotations

import re

from data_processor.curation import FUNCTION_WORDS
from data_processor.small_model.verbs import AUXILIARY, is_noun, is_verb_alone, may_be_noun, may_be_verb

MAX_PHRASE_WORDS = 4
STOP_WORDS = FUNCTION_WORDS | frozenset(
    "however such other another each every both either neither same own very well too just even still yet because while if although "
    "though unless whether through under above below without within against among across toward towards upon via e.g i.e may might "
    "must should shall let us me my mine yours ours theirs itself themselves himself herself example examples way ways kind kinds "
    "now here again once ever never often always today part parts number nothing something everything anything much less few several thing things case cases due one two three four five first second new use used using make made".split()
)  # fmt: skip


def find_phrases(text: str) -> list[tuple[int, int]]:
    """The places of noun phrases, the longest first, and among equals in their order."""
    runs: list[list[re.Match]] = [[]]
    end, last = 0, ""
    for word in re.finditer(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text):
        if text[end : word.start()].strip():  # a mark ends a phrase
            runs.append([])
            last = ""
        end, lower = word.end(), word[0].lower()
        if (
            lower in STOP_WORDS
            or len(lower) < 3
            or is_verb_alone(lower)
            or (last in AUXILIARY | {"to"} and may_be_verb(lower))
        ):
            runs.append([])
        else:
            runs[-1].append(word)
        last = lower
    phrases = []
    for run in runs:
        while run and not may_be_noun(run[-1][0].lower()):
            run.pop()
        is_phrase = len(run) > 1 or (run and is_noun(run[0][0].lower()))
        if is_phrase and len(run) <= MAX_PHRASE_WORDS:
            phrases.append((run[0].start(), run[-1].end()))
    return sorted(phrases, key=lambda place: -len(text[place[0] : place[1]].split()))
