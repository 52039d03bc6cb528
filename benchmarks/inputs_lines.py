"""Whether wrapped text is read as the text it was, and lines that belong apart stay apart. Nobody is asked.

Paragraphs come from files in SQuAD's form: data[].paragraphs[].context.

    python benchmarks/inputs_lines.py squad_new_wiki.json xquad_de.json ... --not_joined not_joined.json
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import regex

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.collection_quality import read_paragraphs
from data_processor.languages import detect_language
from data_processor.units import read_units
from utils import read_json

COLUMNS = 72
HAN_SPACE = regex.compile(r"(?<=[\p{Han}\u3000-\u303f\uff00-\uffef]) | (?=[\p{Han}\u3000-\u303f\uff00-\uffef])")
SHOWN = 10  # texts that differ, in the results


def units_of(text: str) -> list[str]:
    """What is read of a text, in order."""
    parsed = read_units(text, detect_language(text))
    return [parsed.joined.text[unit.start : unit.end] for unit in parsed.units]


def wrap(text: str, columns: int = COLUMNS) -> str:
    """Each line of a text, wrapped as Python's textwrap does: at spaces, after hyphens, and within longer words."""
    return "\n\n".join(textwrap.fill(line, columns) for line in text.splitlines() if line.strip())


def rewrapped(paragraphs: list[str], columns: int = COLUMNS) -> dict:
    """Of the sentences of paragraphs of one line a piece, how many are the same when the paragraph is wrapped.

    A space beside a Chinese character, which stands in some texts and is lost where a line is broken at it, counts in
    `same_with_spaces` only.
    """
    sentences = same = exact = whole = 0
    differ = []
    for paragraph in paragraphs:
        text = "\n\n".join(" ".join(line.split()) for line in paragraph.splitlines() if line.strip())
        expected, found = units_of(text), units_of(wrap(text, columns))
        exact += sum(unit in found for unit in expected)
        expected, found = ([HAN_SPACE.sub("", unit) for unit in units] for units in (expected, found))
        sentences += len(expected)
        same += sum(unit in found for unit in expected)
        whole += expected == found
        differ += [{"expected": one} for one in expected if one not in found]
        differ += [{"found": one} for one in found if one not in expected]
    return {
        "paragraphs": len(paragraphs),
        "whole_paragraphs": whole,
        "sentences": sentences,
        "same": same,
        "same_with_spaces": exact,
        "share": round(same / sentences, 4) if sentences else None,
        "differ": differ[:SHOWN],
    }


def kept_apart(texts: list[dict]) -> dict:
    """Of texts whose lines belong apart, as {"text", ...}, how many have each line in a unit or heading of its own."""
    joined = []
    for item in texts:
        parsed = read_units(item["text"], detect_language(item["text"]))
        text = parsed.joined.text
        stretches = [text[unit.start : unit.end] for unit in parsed.units]
        stretches += [text[start:end] for start, end in [*parsed.headings, *parsed.leads]]
        lines = [line.strip() for line in item["text"].splitlines() if any(map(str.isalnum, line))]
        alone = [any(stretch in line for stretch in stretches) for line in lines]
        if text != item["text"] or not all(alone):
            joined.append(item["text"])
    return {"texts": len(texts), "apart": len(texts) - len(joined), "joined": joined[:SHOWN]}


def paragraphs_to_report(path: str, amount: int = 50) -> list[str]:
    """`amount` paragraphs of a file, drawn with a seed that nothing was chosen on."""
    return read_paragraphs(path, amount, seed=18)


def paragraphs_to_tune(path: str, amount: int = 50) -> list[str]:
    """Others, to choose on."""
    kept = set(paragraphs_to_report(path))
    return [text for text in read_paragraphs(path, amount + len(kept), seed=1) if text not in kept][:amount]


def main(arguments: list[str]) -> None:
    tune = "--tune" in arguments
    arguments = [argument for argument in arguments if argument != "--tune"]
    texts = arguments.pop(arguments.index("--not_joined") + 1) if "--not_joined" in arguments else None
    for path in (argument for argument in arguments if argument != "--not_joined"):
        result = rewrapped(paragraphs_to_tune(path) if tune else paragraphs_to_report(path))
        print(Path(path).stem, {key: value for key, value in result.items() if key != "differ"})
        for one in result["differ"]:
            print("   ", one)
    if texts:
        print(kept_apart(read_json(texts, "a list of texts")))


if __name__ == "__main__":
    main(sys.argv[1:])
