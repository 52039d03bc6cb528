"""The quality of a collection, checked without its own functions: quotes, answers, leaks.

The paragraphs come from a file in SQuAD's format: data[].{title, paragraphs[].context}.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from pathlib import Path

from benchmarks import runs
from utils import InputError, read_json

NEAR = 0.6  # Jaccard similarity of word trigrams at which a training question gives a test question away
TOKEN = re.compile(r"\d+(?:[.,]\d+)*\w*|\w+")
TIMES = re.compile(r"(?<=\d)[x×](?=\d)")  # the sign between the numbers in a size such as 25x100
LAYOUT = re.compile("[\\s\u00ad\u2010-]+")  # how lines are broken
SHOWN = 10  # examples of errors, in the results


def read_paragraphs(path: str | Path, amount: int, seed: int) -> list[str]:
    """`amount` paragraphs, spread evenly over the titles."""
    articles = read_json(path, "paragraphs in the form of SQuAD").get("data", [])
    draw = random.Random(seed)
    left = [[paragraph["context"] for paragraph in article["paragraphs"]] for article in articles]
    for texts in left:
        draw.shuffle(texts)
    draw.shuffle(left)
    rounds = [texts[turn] for turn in range(max(map(len, left), default=0)) for texts in left if turn < len(texts)]
    if len(rounds) < amount:
        raise InputError(f"expected {amount} paragraphs in {path}, found {len(rounds)}: lower --paragraphs")
    return rounds[:amount]


def quality(folder: Path, common: list, file: str, amount: int, test_ratio: float, seed: int) -> dict:
    texts = folder / "texts"
    texts.mkdir(parents=True)
    for number, text in enumerate(read_paragraphs(file, amount, seed)):
        (texts / f"paragraph_{number:03}.txt").write_text(text, encoding="utf-8", newline="")
    dataset = folder / "data.json"
    run = runs.start(
        runs.LOCAL, folder, "--data_path", texts, "--json_save_dir", dataset, "--test_ratio", test_ratio, *common
    )
    runs.finish(run)
    files = {path.name: path.read_bytes().decode() for path in texts.iterdir()}
    made = runs.meta(dataset)
    checked = check(runs.rows(dataset), runs.rows(dataset.with_suffix(".test.json")), files)
    return {
        "paragraphs_file": Path(file).name,
        "paragraphs": amount,
        "test_ratio": test_ratio,
        **checked,
        "collection_seconds": made["seconds"],
        "counts": made["counts"],
        "dropped": made["dropped"],
    }


def check(train: list[dict], test: list[dict], files: dict[str, str]) -> dict:
    """The two shares that must be 1 and the leaks that must be 0, with their counts and examples of errors."""
    by_fact = {row["fact_id"]: row for row in [*train, *test] if row["kind"] != "unknown"}  # that has no fact
    unquoted = [fact for fact, row in by_fact.items() if not quoted(row["source"], files[row["file_name"]])]
    told = [row for row in [*train, *test] if row["kind"] not in runs.NOT_PAIRS]
    passages = [row for row in train if row["kind"] == "passage"]
    invented = [row for row in told if unsupported(answer(row), files[row["file_name"]])]
    invented_passages = [row for row in passages if unsupported(answer(row), files[row["file_name"]])]
    asked = [question(row) for row in train if row["kind"] != "passage"]
    leaked = [(question(row), near) for row in test for near in near_copies(question(row), asked)]
    return {
        "facts": len(by_fact),
        "quotes_verified": share(len(by_fact) - len(unquoted), len(by_fact)),
        "quotes_not_found": unquoted[:SHOWN],
        "answers": len(told),
        "answers_supported": share(len(told) - len(invented), len(told)),
        "answers_unsupported": [
            {"answer": text, "fact": fact, "times": times}
            for (text, fact), times in Counter((answer(row), row["fact"]) for row in invented).most_common(SHOWN)
        ],
        "passages": len(passages),
        "passages_supported": share(len(passages) - len(invented_passages), len(passages)),
        "tests": len(test),
        "trained_questions": len(asked),
        "leaks": len(leaked),
        "leaked": leaked[:SHOWN],
    }


def question(row: dict) -> str:
    return row["conversations"][0]["value"]


def answer(row: dict) -> str:
    return row["conversations"][1]["value"]


def share(right: int, of: int) -> float | None:
    return round(right / of, 4) if of else None


def quoted(source: dict, text: str) -> bool:
    """Whether the quote is in the file where the row says; lines that are wrapped there are joined in the quote."""
    found, quote = (LAYOUT.sub("", part) for part in (text[source["start"] : source["end"]], source.get("quote", "")))
    return bool(quote) and found == quote


def tokens(text: str) -> list[str]:
    """Words and numbers as they are written; a number without its thousands commas."""
    found = TOKEN.findall(TIMES.sub(" ", unicodedata.normalize("NFKC", text)))
    return [re.sub(r"(?<=\d),(?=\d{3})", "", token) for token in found]


def unsupported(text: str, document: str) -> set[str]:
    """The numbers and capitalised words in a text that are not in its document."""
    known = {token.casefold() for token in tokens(document)}
    return {
        token
        for token in tokens(text)
        if (token[0].isupper() or any(sign.isdigit() for sign in token)) and token.casefold() not in known
    }


def trigrams(text: str) -> set[tuple[str, ...]]:
    found = [token.casefold() for token in tokens(text)]
    return {tuple(found[i : i + 3]) for i in range(max(1, len(found) - 2))}


def near_copies(test: str, asked: list[str]) -> list[str]:
    """The training questions that are the same as this test question, or nearly."""
    own = trigrams(test)
    return [one for one in asked if len(own & (other := trigrams(one))) >= NEAR * len(own | other)]
