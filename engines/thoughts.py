"""A reply without the thoughts that a reasoning model writes before its answer.

Known are the marks of DeepSeek-R1, Qwen3, GLM and their kin (<think>), Magistral ([THINK]), Command A, Kimi, Seed, OpenThinker,
and the channels of gpt-oss. A mark in the middle of a text is spoken of, and is left where it is.
"""

from __future__ import annotations

import json
import re

OPENINGS = {  # regular expressions of what opens thoughts, and of what ends them
    r"<(?:seed:)?(?:think|thinking|thought|thoughts|reasoning)>": r"</(?:seed:)?(?:think|thinking|thought|thoughts|reasoning)>",
    r"\[THINK\]": r"\[/THINK\]",
    r"◁think▷": r"◁/think▷",
    r"<\|START_THINKING\|>": r"<\|END_THINKING\|>",
    r"<\|begin_of_thought\|>": r"<\|end_of_thought\|>",
}
FIRST_CHARACTERS = "<[◁"  # of all these marks, and of those below
OPENING, END = ("|".join(parts) for parts in (OPENINGS.keys(), OPENINGS.values()))
# The end of thoughts stands after a word, a full stop or a line break; " </think>" or "`</think>" is spoken of.
REAL_END = re.compile(rf"(?:(?<![ \t\"'`“‘«(\[])|^[ \t]+|(?<=\n)[ \t]+)(?:{END})|(?:{END})(?=[ \t]*(?:\n|$))")
CHANNELS = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>")  # gpt-oss, whose answer is in the channel "final"
FINAL_CHANNEL = re.compile(r"<\|channel\|>final[^<]*<\|message\|>")
FINAL_WITHOUT_MARKS = re.compile(r"\s*analysis.*?assistantfinal", re.DOTALL)  # the same, its marks skipped in decoding
LAST_TOKENS = re.compile(r"(?:<\|(?:return|end|END_RESPONSE)\|>\s*)+$")
WRAPPED = re.compile(  # what some of these models put round their answer
    r"(?:<(answer|response)>(.*)</\1>|<\|begin_of_solution\|>(.*?)(?:<\|end_of_solution\|>)?|<\|START_RESPONSE\|>(.*))",
    re.DOTALL,
)


def without_thoughts(text: str, unopened: bool = False) -> tuple[str, bool]:
    """The answer in a reply, and whether the reply was cut off while thinking (then the answer is "").

    `unopened`: the prompt ended with the mark that opens the thoughts, as DeepSeek-R1's does, so that a reply without
    their end is all thoughts; only a reply that is JSON as a whole is not. A reply without thoughts is returned as it is.
    """
    if not (unopened or any(first in text for first in FIRST_CHARACTERS) or FINAL_WITHOUT_MARKS.match(text)):
        return text, False
    if text.lstrip()[:1] in ("{", '"') and is_json(text):
        return text, False
    if CHANNELS.match(text):
        *_, last = [None, *FINAL_CHANNEL.finditer(text)]
        return ("", True) if last is None else (LAST_TOKENS.sub("", text[last.end() :]).strip(), False)
    if bare := FINAL_WITHOUT_MARKS.match(text):
        return text[bare.end() :].strip(), False
    opened = re.match(rf"\s*(?:{OPENING})", text)
    ends = list(REAL_END.finditer(text))
    if opened or unopened:
        ends = ends or list(re.finditer(END, text))
        if not ends:
            return "", True
    elif not ends or re.search(OPENING, text[: ends[-1].start()]):  # none, or both marks are spoken of
        return text, False
    answer = text[ends[-1].end() :].strip()
    if re.match(OPENING, answer):  # thoughts again, without an end
        return "", True
    wrapped = WRAPPED.fullmatch(LAST_TOKENS.sub("", answer).strip())
    return (next(part for part in wrapped.groups()[1:] if part is not None).strip() if wrapped else answer), False


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
