"""What a model is asked about what it has written, with the chunk before it: --verify llm.

Does a fact follow from its chunk? Asked again, is the answer the same (round-trip consistency, Alberti et al. 2019)? Several
of one chunk are checked in a request, and all requests about a chunk begin alike, so that an engine reads it once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from data_processor.chunking import Chunk
from data_processor.curation import normalize
from data_processor.languages import name_of_language
from data_processor.numbered import shown_text
from data_processor.pairs import Fact, Pair
from data_processor.work import Work, an_object

CHECKS_A_REQUEST = 10
TOKENS_A_VERDICT, TOKENS_AN_ANSWER = 8, 80
LONGEST_ANSWER = 400  # characters
ARTICLE = re.compile(r"^(?:the|an?) ")
NOT_CHECKED = "not checked, since the call failed"

Item = TypeVar("Item")


def document(chunk: Chunk) -> dict[str, str]:
    """The values of a request that shows a whole chunk: its title, text and language."""
    return {
        "title": chunk.heading,
        "text": shown_text(chunk),
        "language": name_of_language(chunk.text_language, chunk.language),
    }


def groups(items: Iterable[Item], chunk_of: Callable[[Item], Chunk], size: int) -> list[list[Item]]:
    """The items of each chunk, in their order, up to `size` together, and about as many in each group."""
    by_chunk: dict[Chunk, list[Item]] = {}
    for item in items:
        by_chunk.setdefault(chunk_of(item), []).append(item)
    parts = []
    for of_one in by_chunk.values():
        count = -(-len(of_one) // size)
        parts += [of_one[len(of_one) * n // count : len(of_one) * (n + 1) // count] for n in range(count)]
    return parts


def numbered_list(lines: Iterable[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def ask_verdicts(
    work: Work, step: str, prompt: str, lists: Sequence[tuple[Chunk, list[str]]]
) -> list[list[bool | None]]:
    """For each chunk and list of lines, whether the model says yes to each line; None if it says nothing, or both."""
    requests = [
        work.prompts[chunk.language].conversation(prompt, **document(chunk), items=numbered_list(lines))
        for chunk, lines in lists
    ]
    schemas = [verdict_schema(len(lines)) for _, lines in lists]
    tokens, chunks, verdicts = TOKENS_A_VERDICT * (CHECKS_A_REQUEST + 1), [chunk for chunk, _ in lists], []
    for (_, lines), reply in zip(lists, work.ask_json(step, requests, tokens, schemas, chunks), strict=True):
        said = set(reply or ())
        both = [(f"{number} yes" in said, f"{number} no" in said) for number in range(1, len(lines) + 1)]
        verdicts.append([yes if yes != no else None for yes, no in both])
    return verdicts


def verdict_schema(count: int) -> dict:
    """["1 yes", "2 no"]: short, and yet each verdict has its number, so that none is taken for another's."""
    choices = [f"{number} {verdict}" for number in range(1, count + 1) for verdict in ("yes", "no")]
    return {"type": "array", "items": {"enum": choices}, "minItems": count, "maxItems": count}


def keep_following(work: Work, facts: list[Fact]) -> list[Fact]:
    """The facts that follow from their chunk, as the model sees it; all of them without --verify llm.

    One that could not be checked goes too: its sentence then stands for itself, and the next run asks again.
    """
    if not work.verify:
        return facts
    parts = groups(facts, lambda fact: fact.chunk, CHECKS_A_REQUEST)
    verdicts = ask_verdicts(work, "facts, check", "follows", [(p[0].chunk, [fact.text for fact in p]) for p in parts])
    kept = []
    for part, follows in zip(parts, verdicts, strict=True):
        for fact, yes in zip(part, follows, strict=True):
            if yes:
                kept.append(fact)
            else:
                reason = NOT_CHECKED if yes is None else "the model finds that it does not follow"
                work.drop("facts", reason, fact.text, fact)
    return kept


def keep_answered(work: Work, step: str, pairs: list[Pair]) -> list[Pair]:
    """The pairs whose question, asked again, is answered alike: by the words, or as the model sees it.

    One that could not be checked goes too: the next run asks again.
    """
    if not work.verify:
        return pairs
    chunks = [chunk_with_second(pair) for pair in pairs]
    read = answer_again(work, f"{step}, check", [(c, pair.question) for c, pair in zip(chunks, pairs, strict=True)])
    agreed = [same_answer(answer, pair) for pair, answer in zip(pairs, read, strict=True)]
    unsure = [place for place, (same, answer) in enumerate(zip(agreed, read, strict=True)) if answer and not same]
    parts = groups(unsure, lambda place: chunks[place], CHECKS_A_REQUEST)
    lines = [
        (chunks[part[0]], [f"{pairs[p].question} | {pairs[p].answer} | {read[p]}" for p in part]) for part in parts
    ]
    for part, verdicts in zip(parts, ask_verdicts(work, f"{step}, same", "same", lines), strict=True):
        for place, same in zip(part, verdicts, strict=True):
            agreed[place] = same
    kept = []
    for pair, same, answer in zip(pairs, agreed, read, strict=True):
        if same:
            kept.append(pair)
        else:
            reason = "asked again, the model answers otherwise" if answer else "asked again, the model finds no answer"
            reason = NOT_CHECKED if answer is None or same is None else reason
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer, read=answer)
    return kept


def answer_again(work: Work, step: str, questions: list[tuple[Chunk, str]]) -> list[str | None]:
    """The model's answers to questions about chunks; "" where the chunk has none, None where the call failed.

    They are asked in an order without meaning, so that a question does not stand beside another that gives its answer away.
    """
    shuffled = sorted(range(len(questions)), key=lambda place: hashlib.sha256(questions[place][1].encode()).digest())
    parts = groups(shuffled, lambda place: questions[place][0], CHECKS_A_REQUEST)
    requests, schemas = [], []
    for part in parts:
        chunk, lines = questions[part[0]][0], [questions[place][1] for place in part]
        values = {**document(chunk), "items": numbered_list(lines)}
        requests.append(work.prompts[chunk.language].conversation("again", **values))
        answer = an_object(
            number={"enum": list(range(1, len(part) + 1))}, answer={"type": "string", "maxLength": LONGEST_ANSWER}
        )
        schemas.append({"type": "array", "items": answer, "minItems": len(part), "maxItems": len(part)})
    answers: list[str | None] = [None] * len(questions)
    tokens, chunks = TOKENS_AN_ANSWER * CHECKS_A_REQUEST, [questions[part[0]][0] for part in parts]
    for part, reply in zip(parts, work.ask_json(step, requests, tokens, schemas, chunks), strict=True):
        for told in reply or ():
            answers[part[told["number"] - 1]] = " ".join(told["answer"].split())
    return answers


def chunk_with_second(pair: Pair) -> Chunk:
    """The chunk that answers a pair, with the text of the other one after it if the answer needs two facts of two chunks."""
    chunk = pair.fact.chunk
    if pair.second is None or pair.second.chunk == chunk:
        return chunk
    return replace(chunk, text=f"{chunk.text}\n\n{pair.second.chunk.text}")


def same_answer(read: str | None, pair: Pair) -> bool:
    """Whether an answer is that of a pair for certain: the same but for case, typography and an article, or the same yes or no.

    Nothing less will do: "not" and "before" are one word more, and for most languages nobody has a list of such words.
    """
    if not read:
        return False
    if pair.form == "yes_no" and opening(read):
        return opening(read) == opening(pair.answer)
    return folded(read) == folded(pair.answer)


def folded(answer: str) -> str:
    """An answer as it is compared."""
    return ARTICLE.sub("", normalize(answer).strip(" .。"))


def opening(answer: str) -> str:
    """The short word that an answer is, or begins with before a comma or a full stop: yes or no; "" if there is none."""
    found = re.match(r"\s*([^\W\d_]{1,4})\s*(?:[,.，。、:]|$)", answer)
    return found[1].casefold() if found else ""
