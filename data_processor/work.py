"""What all steps of the collection share: the run's engine, prompts and counts."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

from data_processor.chunking import Chunk
from data_processor.curation import NearCopies
from data_processor.prompts import Prompts, load_prompts
from engines.chat import Engine, Reply

YES_OR_NO = {"enum": ["yes", "no"]}


@dataclass
class Work:
    """What all steps share: the engine, the sampling, the counts."""

    engine: Engine
    seed: int
    progress: Callable[[str, int], Callable]
    questions: (
        ModuleType  # the functions that ask: those of data_processor/questions.py, or another module with the same
    )
    copies_only: bool = False  # facts must keep their sentence's words in order: for a generator too small to trust
    context_sentences: int = 3
    llm_check: bool = False  # ask the model too whether a fact follows from its sentence and an answer from its fact
    prompts: dict[str, Prompts] = field(default_factory=load_prompts)  # by language
    dropped: list[dict] = field(default_factory=list)
    tokens: Counter = field(default_factory=Counter)
    said: dict[str, NearCopies] = field(default_factory=lambda: defaultdict(NearCopies))  # by step: what it has kept

    def drop(self, step: str, reason: str, text: str, source=None, **more) -> None:
        """Record something that is not kept, with why and where it came from: `source`, a chunk or a fact (of facts.py)."""
        record = {"step": step, "reason": reason, "text": text, **more}
        if source is not None:
            chunk = getattr(source, "chunk", source)
            record |= {"file_name": chunk.file_name, "chunk": chunk.number}
        if hasattr(source, "quote"):
            record |= {"fact": source.text, "quote": source.quote} if source.text else {"quote": source.quote}
        self.dropped.append(record)

    @property
    def drops(self) -> Counter:
        """How often each step dropped something for each reason."""
        return Counter(f"{record['step']}: {record['reason']}" for record in self.dropped)

    def ask(
        self, step: str, conversations: list, max_new_tokens: int, turns: list[int] | None = None, **options
    ) -> list:
        """One batch of prompts; a failed call is counted and gives None.

        `turns`, one for each prompt, let one that is asked again draw other random numbers.
        """
        if not conversations:
            return []
        started, written = time.monotonic(), 0
        with self.progress(step, len(conversations)) as bar:

            def show(_: int, reply: Reply) -> None:
                nonlocal written
                written += reply.completion_tokens
                bar.set_postfix_str(f"{written / (time.monotonic() - started):.0f} tokens/s", refresh=False)
                bar.update(1)

            seed = self.seed if turns is None else [self.seed + turn for turn in turns]
            replies = self.engine.chat(
                conversations, max_new_tokens=max_new_tokens, seed=seed, on_reply=show, **options
            )
        self.tokens["prompt"] += sum(reply.prompt_tokens for reply in replies)
        self.tokens["completion"] += sum(reply.completion_tokens for reply in replies)
        for reply in replies:
            if reply.error:
                self.drop(step, "call failed", reply.error)
        return [None if reply.error else reply.text for reply in replies]

    def ask_json(
        self, step: str, conversations: list, max_new_tokens: int, schema: dict | list[dict], **options
    ) -> list:
        """The same for replies in JSON; one cut off by the token limit is counted and gives None."""
        values = []
        for text in self.ask(step, conversations, max_new_tokens, schemas=schema, **options):
            try:
                values.append(None if text is None else json.loads(text))
            except json.JSONDecodeError:
                self.drop(step, "reply cut off", text)
                values.append(None)
        return values


def entailed(work: Work, step: str, claims: list[tuple[Chunk, str, str]]) -> list[bool]:
    """For each (chunk, text, statement), whether the model finds that the statement follows from the text alone."""
    replies = work.ask_json(
        step,
        [
            work.prompts[chunk.language].conversation("entails", text=text, statement=statement)
            for chunk, text, statement in claims
        ],
        8,
        YES_OR_NO,
    )
    return [reply == "yes" for reply in replies]
