"""What all collection steps share: the run's engine, prompts and counts."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from data_processor.chunking import Chunk
from data_processor.curation import NearCopies
from data_processor.parts import RowsBefore
from data_processor.prompts import Prompts, load_prompts
from engines.chat import Engine, Reply, WaveWaiting
from engines.json_replies import CUT_OFF, complete_json, parse_json

SHOWN_CHUNKS = 5  # whose calls failed, in a message

log = logging.getLogger(__name__)


@dataclass
class Work:
    """The engine, prompts, settings and counts of one collection, shared by all its steps."""

    engine: Engine
    seed: int
    progress: Callable[[str, int], Callable]
    method: ModuleType  # data_processor/method.py or small_model/method.py, which have the same functions
    verify: bool = (
        False  # whether the model is asked, with the chunk before it, if a fact follows and an answer is right
    )
    prompts: dict[str, Prompts] = field(default_factory=load_prompts)  # by language
    phrases: dict[str, dict] = field(default_factory=dict)  # by language, what phrases.py has translated
    dropped: list[dict] = field(default_factory=list)  # of this part of the documents
    dropped_before: Counter = field(default_factory=Counter)  # by step and reason, of the parts before it
    rows_before: RowsBefore = field(default_factory=RowsBefore)
    tokens: Counter = field(default_factory=Counter)
    kept_texts: dict[str, NearCopies] = field(default_factory=lambda: defaultdict(NearCopies))  # by step
    calls: int = 0
    errors: list[str] = field(default_factory=list)  # of the calls that failed
    failed_steps: list[str] = field(default_factory=list)  # those with such calls
    waiting: list[str] = field(default_factory=list)  # steps whose answers come later, in a batch

    def words(self, language: str, of_prompts: str) -> dict:
        """What the dataset says in a language; in that of the prompts if nobody has translated it."""
        return self.phrases.get(language) or self.prompts[of_prompts].words(language)

    def drop(self, step: str, reason: str, text: str, source=None, **details) -> None:
        """Record a text that is not kept, with the reason and its `source`: a chunk, or a fact (facts.py)."""
        record = {"step": step, "reason": reason, "text": text, **details}
        if source is not None:
            chunk = getattr(source, "chunk", source)
            record |= {"file_name": chunk.file_name, "chunk": chunk.number}
        if hasattr(source, "quote"):
            record |= {"fact": source.text, "quote": source.quote} if source.text else {"quote": source.quote}
        self.dropped.append(record)

    @property
    def drops(self) -> Counter:
        """How often each step dropped a text for each reason."""
        return self.dropped_before + Counter(f"{record['step']}: {record['reason']}" for record in self.dropped)

    def end_part(self) -> None:
        """Go on to the next part of the documents: of the texts of this one, only what tells exact copies is kept."""
        self.dropped_before = self.drops
        self.dropped = []
        for texts in self.kept_texts.values():
            texts.forget()

    def ask(
        self,
        step: str,
        conversations: list,
        max_new_tokens: int,
        turns: list[int] | None = None,
        chunks: Sequence[Chunk | None] | None = None,
        on_error: Callable[[int, str], None] = lambda number, error: None,
        **options,
    ) -> list:
        """The replies to one batch of prompts; a failed call is counted and gives None.

        `chunks`, one per prompt, are what the prompts are about, for whoever reads what failed; `on_error` is called with
        the place of each prompt that failed and its error.
        `turns`, one per prompt, are added to the seed, so that a repeated prompt is sampled differently.
        """
        if not conversations:
            return []
        started, written = time.monotonic(), 0
        with self.progress(step, len(conversations)) as bar:

            def show_speed(_: int, reply: Reply) -> None:
                nonlocal written
                written += reply.completion_tokens
                bar.set_postfix_str(f"{written / (time.monotonic() - started):.0f} tokens/s", refresh=False)
                bar.update(1)

            seed = self.seed if turns is None else [self.seed + turn for turn in turns]
            try:
                replies = self.engine.chat(
                    conversations, max_new_tokens=max_new_tokens, seed=seed, on_reply=show_speed, **options
                )
            except WaveWaiting:
                self.waiting.append(step)
                self.stop_if_waiting()
        self.tokens["prompt"] += sum(reply.prompt_tokens for reply in replies)
        self.tokens["completion"] += sum(reply.completion_tokens for reply in replies)
        self.calls += len(replies)
        failed = []
        for number, (reply, chunk) in enumerate(zip(replies, chunks or [None] * len(replies), strict=True)):
            if reply.error:
                failed.append(chunk)
                on_error(number, reply.error)
                self.errors.append(reply.error)
                self.drop(step, "call failed", reply.error, chunk)
            for lost in reply.left_out:
                self.drop(step, **lost, source=chunk)
        if failed:
            self.failed_steps.append(step)
            log.warning("%s: %d of %d calls failed%s", step, len(failed), len(replies), describe_chunks(failed))
        return [None if reply.error else reply.text for reply in replies]

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Go on after this block if the answers it needs come later, so that those of other blocks are asked for with them.

        Steps that do not need one another stand in blocks of their own, in any order. All that uses what a step returns
        belongs into its block, or behind `stop_if_waiting`, which must come before the rows are made:

            rewrites, unknown = [], []
            with work.deferred():
                rewrites = rewrite(work, facts)
            with work.deferred():
                unknown = check(work, ask_unknown(work, facts))  # the check waits for its questions, and nothing else does
            work.stop_if_waiting()

        With an engine that answers at once the blocks change nothing.
        """
        with contextlib.suppress(WaveWaiting):  # `ask` has put down the step
            yield

    def stop_if_waiting(self) -> None:
        """WaveWaiting if any step so far waits for answers; what failed is asked again with them, and waits too."""
        if self.waiting:
            raise WaveWaiting(*self.waiting, *self.failed_steps) from None

    def ask_json(
        self,
        step: str,
        conversations: list,
        max_new_tokens: int,
        schema: dict | list[dict],
        chunks: Sequence[Chunk | None] | None = None,
        **options,
    ) -> list:
        """Like `ask`, for replies in JSON. Of one cut off by the token limit, what is whole is kept, and the cut counted."""
        values = []
        replies = self.ask(step, conversations, max_new_tokens, chunks=chunks, schemas=schema, **options)
        for text, chunk in zip(replies, chunks or [None] * len(replies), strict=True):
            try:
                values.append(None if text is None else parse_json(text))
            except json.JSONDecodeError:
                self.drop(step, CUT_OFF, text, chunk)
                values.append(complete_json(text))
        return values


def describe_chunks(chunks: list[Chunk | None]) -> str:
    """ ": bridge.txt, chunk 1; mill.txt, chunk 2; 3 more in log/data.dropped.jsonl", each once; "" if none is known."""
    names = list(dict.fromkeys(f"{chunk.file_name}, chunk {chunk.number}" for chunk in chunks if chunk))
    more = [f"{len(names) - SHOWN_CHUNKS} more, all in log/data.dropped.jsonl"] if len(names) > SHOWN_CHUNKS else []
    return f": {'; '.join(names[:SHOWN_CHUNKS] + more)}" if names else ""


def an_object(**properties: dict) -> dict:
    """The JSON schema of an object that has all of these properties, in this order, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
