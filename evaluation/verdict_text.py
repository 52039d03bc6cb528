"""Reads a verdict from what a judge wrote: in JSON, or in the tag of its case, with whatever marks around the label."""

from __future__ import annotations

import json
import re

MARKS = re.compile(r"^[\W_]+|[\W_]+$")  # quotes, asterisks, full stops, line breaks ... at the ends of a label
HTML_TAG = re.compile(r"</?[a-z]+ ?/?>")
LATEX = re.compile(r"\\(?:boxed|text|textbf|mathrm)\s*\{([^{}]*)\}")
BEFORE_LABEL = re.compile(r"(?:the )?(?:final |my )?(?:verdict|label|grade|answer|response|option)\b(?: is)?[\W_]*")
REMARK = re.compile(r"^(.+?)\s*[(（\[]([^()（）\[\]]*)[)）\]]\W*$", re.DOTALL)  # "correct (the same name)"


def find_label(verdict: str, labels: tuple[str, ...]) -> str | None:
    """The label that a verdict gives: "**Correct.**", "not_attempted", "Verdict: A"; None if it gives none, or not one alone."""
    offered = {squeeze(label): label for label in labels}
    text = HTML_TAG.sub("", verdict.casefold())
    while (unpacked := LATEX.sub(r"\1", text)) != text:
        text = unpacked
    remark = REMARK.match(text)
    if remark and not any(
        re.search(rf"\b{re.escape(label.casefold())}\b", remark[2]) for label in labels if len(label) > 1
    ):
        text = remark[1]
    text = MARKS.sub("", text)
    return offered.get(squeeze(text)) or offered.get(squeeze(BEFORE_LABEL.sub("", text, count=1)))


def squeeze(label: str) -> str:
    """A label without what its writing varies in: case, spaces, hyphens, underscores, and marks at its ends."""
    return re.sub(r"[\s_-]+", "", MARKS.sub("", label.casefold()))


def read_json_verdict(text: str) -> tuple[str | None, str]:
    """The verdict in a reply that follows the schema, with its reasoning; or None and what is wrong."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        return None, f"not JSON ({error}): {text[:80]!r}"
    if not isinstance(content, dict) or not isinstance(content.get("verdict"), str):
        return None, f"no verdict: {text[:80]!r}"
    return content["verdict"], str(content.get("reasoning", ""))


def read_tagged_verdict(text: str, tag: str) -> tuple[str | None, str]:
    """The last verdict in the case's own tag, with the text before it as reasoning; or None and what is wrong."""
    found = list(re.finditer(rf"<verdict-{tag}>((?:(?!</?verdict-).)*)</verdict-{tag}>", text, re.DOTALL))
    if not found:
        return None, f"no verdict in its tag: {text[-80:]!r}"
    return found[-1][1], text[: found[-1].start()].strip()
