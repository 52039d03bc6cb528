"""Whether a server's model answers as inference.py's did: an adapter that a server loads and does not apply is found here.

    texts = ask_server("http://127.0.0.1:8000/v1", "tuned", asked, 64)
    likeness = compare(asked, texts, "tuned")       # how many answers are inference.py's, how many the other model's
    require_served(likeness)                        # InputError if these are not its answers

`asked` are questions of a run (engines.tuned_run), best those that `choose` picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.api import ApiEngine
from engines.failures import require_answers
from engines.hub import LOADING_S
from engines.tuned_run import Asked
from utils import InputError

BASE, TUNED = "base", "tuned"  # the models' names on a server
CHECKED = 8  # questions that a server is asked before it is called ready
SAME_SHARE = (
    0.5  # of the answers, more than this must be inference.py's: other kernels round otherwise, and a tie falls
)


@dataclass(frozen=True)
class Likeness:
    """How a model's answers compare with inference.py's.

    `same` of `asked` are those of the model `name` ("base" or "tuned"). Of the `telling` ones, which base and tuned
    answered differently, `of_other` are those of the other model.
    """

    name: str
    asked: int
    same: int
    telling: int
    of_other: int

    @property
    def share(self) -> float:
        return self.same / self.asked


def choose(asked: Sequence[Asked], count: int) -> list[Asked]:
    """At most `count` questions evenly over the list, only such that tell base and tuned apart."""
    telling = [one for one in asked if one.telling]
    count = min(count, len(telling))
    return [telling[number * len(telling) // count] for number in range(count)]


def ask_server(api_base: str, model: str, asked: Sequence[Asked], max_new_tokens: int) -> list[str]:
    """The answers of a model on an OpenAI-compatible server, asked by the openai client, one question at a time.

    Only the question is sent: the system prompt is the server's matter. InputError if the server does not know the model or
    does not answer, MostlyFailed if most questions were refused; a refused one has the answer "".
    """
    engine = ApiEngine(model, api_base, timeout=LOADING_S)
    conversations = [[{"role": "user", "content": one.question}] for one in asked]
    replies = engine.chat(conversations, max_new_tokens=max_new_tokens)
    require_answers([reply.error for reply in replies if reply.error], len(replies))
    return [reply.text for reply in replies]


def compare(asked: Sequence[Asked], texts: Sequence[str], name: str) -> Likeness:
    """Compare the answers `texts` of a model with those that inference.py got from the model `name`."""
    found = [text.strip() for text in texts]
    pairs = [(one.tuned, one.base) if name == TUNED else (one.base, one.tuned) for one in asked]
    same = sum(text == own.strip() for text, (own, _) in zip(found, pairs, strict=True))
    telling = [(text, other) for text, (_, other), one in zip(found, pairs, asked, strict=True) if one.telling]
    return Likeness(name, len(found), same, len(telling), sum(text == other.strip() for text, other in telling))


def require_served(likeness: Likeness, where: str = "the server") -> None:
    """InputError if the answers are not those of the model: the other model's (an adapter without effect), or nobody's."""
    if likeness.share > SAME_SHARE:
        return
    other = BASE if likeness.name == TUNED else TUNED
    counted = f"{likeness.same} of {likeness.asked} answers of {where} to be inference.py's"
    if likeness.of_other > likeness.same:
        what = "the adapter has no effect there" if likeness.name == TUNED else "the adapter is applied to the base too"
        raise InputError(
            f"expected more than {SAME_SHARE:.0%} of the answers of {likeness.name!r}, found {counted} and "
            f"{likeness.of_other} of {likeness.telling} those of {other!r}: {what}; serve merged weights instead "
            "(bash shells/export.sh)"
        )
    raise InputError(
        f"expected more than {SAME_SHARE:.0%} of the answers of {likeness.name!r}, found {counted}: the chat template, the "
        "system prompt, the sampling or the weights there are others; compare them with those of the run"
    )


def check_server(api_base: str, asked: Sequence[Asked], max_new_tokens: int, count: int = CHECKED) -> list[Likeness]:
    """Ask a server's tuned model, then its base, some of the run's questions; InputError if either is not as in the run."""
    chosen, found = choose(asked, count), []
    for name in (TUNED, BASE):
        found.append(compare(chosen, ask_server(api_base, name, chosen, max_new_tokens), name))
        require_served(found[-1])
    return found
