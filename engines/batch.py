"""An engine whose answers come later: it writes down what it is asked, and answers from what has come.

    engine = BatchEngine("gpt-4o-mini", Path("output/data.batch"))
    JournaledEngine(engine, journal).chat(...)     # WaveWaiting, unless all answers are there
    engine.write_wave()                            # data.batch/wave_1.requests.jsonl

All that is asked in one run is one wave. The next run reads the answers (engines.batch_files), gets as far as they take it,
and asks for the next wave. A request has the journal's key as its id, so that a run begun with an API goes on with batches.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from engines.api import THINKING_TOKENS
from engines.api_replies import CUT_OFF_THINKING, cut_short_by_thoughts, error_reply, parse_reply
from engines.batch_files import (
    Answer,
    answers_file,
    read_answers,
    read_requests,
    request_files,
    wave_number,
    write_wave,
)
from engines.chat import Conversation, Reply, WaveWaiting, broadcast, sampled_again
from engines.dialect import REQUEST, UNCLEAR, Dialect, concerns, describe, out_of_tokens, server_words
from engines.failures import describe_failures
from engines.journal import model_identity, request_key
from utils import RETRIED_STATUS, InputError

NO_ANSWER = "no answer"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is asked: the arguments of one conversation in Engine.chat."""

    messages: Conversation
    schema: dict | None
    max_new_tokens: int
    temperature: float
    seed: int


class BatchEngine:
    """Answers from the files in `folder`; what they do not answer is kept for the next wave.

    A request that the model or a filter refused, or whose reply breaks its schema, has an error, as with engines.api, and
    goes into the next wave again (`failed`), sampled if it had a reply, and under the same id.
    One that was not answered, because the batch expired, the server failed, or a
    parameter was refused that the next wave leaves out (engines.dialect), is waited for (`waiting`).
    """

    def __init__(self, model: str | None, folder: Path):
        if not model:
            raise InputError("expected the name of the API's model, found none: give --api_model")
        self.name, self.folder = model, folder
        self.dialect, self.thinking_tokens = Dialect(), 0
        self.waiting: dict[str, Request] = {}  # asked in this run: without an answer
        self.failed: dict[str, Request] = {}  # and answered with an error
        self.errors: dict[str, str] = {}
        self.open: dict[str, Path] = {}  # file in which a request stands that has no file of answers yet
        self.answers: dict[str, Answer] = {}
        self.replied: Counter[str] = Counter()  # how many replies a request had, in all waves
        self.unanswered: dict[str, str] = {}  # why a request that was sent had no answer, at least once
        for _, files in itertools.groupby(request_files(folder), wave_number):
            self._read_wave(list(files))

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        """The replies; WaveWaiting if any is not there yet, after those that are have been reported."""
        count, replies, identity = len(conversations), [], model_identity(self.name)
        calls = zip(conversations, *(broadcast(value, count) for value in (schemas, temperature, seed)), strict=True)
        for index, (messages, schema, one_temperature, one_seed) in enumerate(calls):
            request = Request(messages, schema, max_new_tokens, one_temperature, one_seed)
            key = request_key(identity, max_new_tokens, messages, schema, one_temperature, one_seed)
            if key not in self.answers:
                self.waiting[key] = request
                self.errors[key] = self.unanswered.get(key, NO_ANSWER)
                continue
            reply = self._read_reply(self.answers[key], request)
            if reply.error:
                self.failed[key], self.errors[key] = request, reply.error
            if on_reply:
                on_reply(index, reply)
            replies.append(reply)
        if len(replies) < count:
            raise WaveWaiting
        return replies

    def waves(self, conversations, max_new_tokens):
        return None

    def write_wave(self) -> None:
        """Write what this run needs and no open file asks for as the next wave."""
        for path in write_wave(self.folder, {key: self._body(one) for key, one in self.unwritten.items()}):
            self.open |= dict.fromkeys(read_requests(path), path)

    @property
    def needed(self) -> dict[str, Request]:
        """The requests of this run without a good reply."""
        return self.waiting | self.failed

    @property
    def unwritten(self) -> dict[str, Request]:
        """The requests of this run that no open file asks for, as they are to be sent."""
        return {key: self._again(key, request) for key, request in self.needed.items() if key not in self.open}

    def open_files(self) -> list[Path]:
        """The files whose answers this run needs."""
        needed = {self.open[key] for key in self.needed if key in self.open}
        return [path for path in request_files(self.folder) if path in needed]

    def describe_failed(self) -> str:
        """Why requests of this run that were sent have to be sent again, or ""."""
        again = self.unwritten.keys() & (self.failed.keys() | self.unanswered.keys())
        errors, sent = [self.errors[key] for key in again], len(self.answers.keys() | self.unanswered.keys())
        return describe_failures(errors, sent, "requests failed") if again else ""

    def _again(self, key: str, request: Request) -> Request:
        """The request; if it had replies of no use, sampled by another seed than those."""
        if key not in self.failed or not self.replied[key]:
            return request
        temperature, seed = sampled_again(request.temperature, request.seed, self.replied[key])
        return replace(request, temperature=temperature, seed=seed)

    def _body(self, request: Request) -> dict:
        """What engines.api would send."""
        limit = request.max_new_tokens + self.thinking_tokens
        fields = self.dialect.request(request.messages, request.schema, limit, request.temperature, request.seed)
        return {"model": self.name, **fields}

    def _read_reply(self, answer: Answer, request: Request) -> Reply:
        if answer.error:
            return error_reply(describe(answer.error))
        return parse_reply(answer.completion, request.schema, request.max_new_tokens + self.thinking_tokens)

    def _read_wave(self, files: list[Path]) -> None:
        """Take over the answers to a wave, and what its refusals say of the server."""
        dialect, room = self.dialect, self.thinking_tokens  # of all parts of the wave
        for path in files:
            bodies = read_requests(path)
            if not answers_file(path).exists():
                self.open |= dict.fromkeys(bodies, path)
                continue
            answers = read_answers(answers_file(path), bodies)
            any_reply = any(answer.completion for answer in answers.values())
            for key, body in bodies.items():
                answer = answers.get(key, Answer())
                problem = (
                    self._learn(answer, body, dialect) or not_run(answer, any_reply) or self._no_room(answer, room)
                )
                if problem is None:
                    self.answers[key] = answer
                    self.replied[key] += answer.completion is not None
                else:
                    self.unanswered[key] = problem

    def _learn(self, answer: Answer, body: dict, dialect: Dialect) -> str | None:
        """Why a request was refused if it names a parameter, which the next wave then leaves out."""
        if answer.error is None or answer.error.status_code is None:
            return None
        learned = dialect.learn(answer.error, body)
        if learned and self.dialect is dialect:
            self.dialect, what = learned
            log.info("%s takes %s", self.name, what)
        return describe(answer.error) if learned else None

    def _no_room(self, answer: Answer, room: int) -> str | None:
        """Why a reply has to be asked for again with `room` for thoughts, which it did not have, or None."""
        if room:
            return None
        if answer.error is not None:
            problem = describe(answer.error) if out_of_tokens(answer.error) else None
        else:
            problem = CUT_OFF_THINKING if cut_short_by_thoughts(answer.completion) else None
        if problem:
            self.thinking_tokens = THINKING_TOKENS
        return problem


def not_run(answer: Answer, any_reply: bool) -> str | None:
    """Why a request has no answer, or None if it has one, be it a refusal of this one request.

    A refusal that does not say what it is about concerns the request only if other requests had a reply (`any_reply`).
    """
    if answer.completion is not None:
        return None
    error = answer.error
    if error is None:
        return NO_ANSWER
    if error.status_code is None:
        return f"{error.code or 'not run'}: {server_words(error)}"
    about = concerns(error)
    own = about == REQUEST or (about == UNCLEAR and any_reply)
    return None if own and error.status_code not in RETRIED_STATUS else describe(error)
