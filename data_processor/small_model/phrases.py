"""What can be asked for in an English sentence without names, dates and numbers: phrases between its function words.

After RAKE (Rose et al. 2010), whose candidates are the longest runs of words that are no stop words.
"""

from __future__ import annotations

import re

from data_processor.curation import FUNCTION_WORDS
from data_processor.small_model.verbs import (
    AUXILIARY,
    is_noun,
    is_verb_alone,
    may_be_noun,
    may_be_verb,
    past_of,
    present_of,
)

MAX_PHRASE_WORDS = 4
STOP_WORDS = FUNCTION_WORDS | frozenset(
    "least most however such other another each every both either neither same own very well too just even still yet because while if although "
    "though unless whether through under above below without within against among across toward towards upon via e.g i.e may might "
    "must should shall let us me my mine yours ours theirs itself themselves himself herself example examples way ways kind kinds "
    "now here again once ever never often always today part parts number nothing something everything anything much less few several thing things case cases due one two three four five first second new use used using make made".split()
)  # fmt: skip

BEFORE_SUBJECT = r"(?:^|[.;:!?] )(?:(?i:the|an?|this|these|that|those|some|many|most|all|its|his|her|their) )?$"


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
        if ends_in_verb(text, run):
            run.pop()
        while run and not may_be_noun(run[-1][0].lower()):
            run.pop()
        is_phrase = len(run) > 1 or (run and is_noun(run[0][0].lower()))
        if is_phrase and len(run) <= MAX_PHRASE_WORDS:
            phrases.append((run[0].start(), run[-1].end()))
    return sorted(phrases, key=lambda place: -len(text[place[0] : place[1]].split()))


def ends_in_verb(text: str, run: list[re.Match]) -> bool:
    """Whether a run at the start of a sentence ends in its verb ("Psychiatry focuses on disorders"): no other word there is one."""
    if not 1 < len(run) <= MAX_PHRASE_WORDS or not re.search(BEFORE_SUBJECT, text[: run[0].start()]):
        return False
    if not (run[-1][0].islower() and may_be_verb(run[-1][0])):
        return False
    rest = re.split(r"[.;:!?](?: |$)", text[run[-1].end() :])[0].lower().split()
    verbs = (word for word in rest if word in AUXILIARY or past_of(word) or present_of(word))
    return bool(rest) and rest[0] != "of" and next(verbs, None) is None
