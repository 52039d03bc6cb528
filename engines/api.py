"""Any OpenAI-compatible server behind the same `chat()`: several calls at once, with consideration for the server."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from engines.adaptive_limit import AdaptiveLimit
from engines.api_replies import NO_JSON, NO_TEXT, cut_short_by_thoughts, error_reply, parse_reply, read_answer
from engines.chat import Conversation, Reply, broadcast, sampled_again
from engines.dialect import (
    REQUEST,
    SET_UP,
    Dialect,
    concerns,
    describe,
    may_be_the_format,
    out_of_tokens,
    remedy,
    server_words,
    what_failed,
)
from utils import InputError, address_of, llm_chat

CALLS_A_WAVE = 8  # per concurrent call; what a journal may have to repeat after a kill
MAX_FAILURES = 5  # calls that the server fails in a row, after all their attempts, before the run stops
MAX_TRIALS = 3  # times that JSON is asked for in all other formats, in search of one that the server follows
THINKING_TOKENS = 8192  # more per reply, once one was cut off while thinking
BYTES_PER_TOKEN = 3  # a low estimate in any script (Chinese has a character in three), so that --tpm is underused rather than exceeded
PLAIN_CALL = [{"role": "user", "content": 'Is this a question? Reply with JSON: {"reply": "yes"}'}]
PLAIN_TOKENS = 16
SLOW_DOWN = "wait until its limit allows more, or lower --concurrency or give --rpm, and run this again"
BURST_DIVISOR = 4  # this fraction of --tpm may be used at once: 1/4

log = logging.getLogger(__name__)


class ApiEngine:
    """A model behind an OpenAI-compatible API; each call is utils.llm_chat.

    `concurrency` calls run at once, fewer after a 429; `rpm` and `tpm` limit the requests and tokens per minute; `timeout` is
    how many seconds to wait for an answer. A refusal that concerns one request (a filter, the context's length), a reply
    that violates its JSON schema twice, the second time sampled, and one cut off while thinking have an `error`. What
    concerns the set-up (key, credit, address, model), and a server that fails the first call or MAX_FAILURES in a row (no
    connection, no answer in time, 5xx, no JSON; of 429, as many more as run at once), end the run with an InputError. The first call, and the first for JSON, are sent alone: they show whether the
    set-up is right, which parameters the server takes (engines.dialect) and in which format JSON comes.
    """

    def __init__(
        self,
        model: str,
        api_base: str | None = None,
        max_attempts: int = 5,
        retry_delay: float = 2.0,
        concurrency: int = 1,
        rpm: int | None = None,
        tpm: int | None = None,
        timeout: float = 300.0,
    ):
        if not model:
            raise InputError("expected the name of the API's model, found none: give --api_model")
        if api_base and not api_base.startswith(("http://", "https://")):
            raise InputError(
                f"expected --api_base to begin with http:// or https://, found {api_base}: put one before it"
            )
        if concurrency < 1:
            raise InputError(f"expected --concurrency of at least 1, found {concurrency}: raise it")
        if timeout <= 0:
            raise InputError(f"expected --timeout above 0 seconds, found {timeout}: raise it")
        self.name, self.concurrency = model, concurrency
        self.call_options = {
            "model": model,
            "api_base": api_base,
            "max_attempts": max_attempts,
            "retry_delay": retry_delay,
            "timeout": timeout,
            "read_answer": read_answer,
        }
        self.limit = AdaptiveLimit(concurrency)
        self.requests = self.tokens = None
        if rpm or tpm:
            from pyrate_limiter import Duration, limiter_factory

            if rpm:
                self.requests = limiter_factory.create_inmemory_limiter(rpm, Duration.MINUTE)
            if tpm:
                self.token_burst = max(1, tpm // BURST_DIVISOR)
                self.tokens = limiter_factory.create_token_bucket_limiter(tpm, Duration.MINUTE, burst=self.token_burst)
        self.dialect, self.thinking_tokens, self._learning = Dialect(), 0, threading.Lock()
        self._first_calls = threading.Lock()  # held while they are made, if `chat` is called from several threads
        self.answered: set[bool] = set()  # whether calls for JSON (True) and for text (False) have succeeded
        self.failures = 0  # in a row since the last success
        self.json_came: Counter[bool] = Counter()  # whether JSON in the dialect's format came as its schema says
        self.trials = 0

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        count = len(conversations)
        temperatures, seeds, schemas = (broadcast(value, count) for value in (temperature, seed, schemas))
        report_lock = threading.Lock()
        stopped = threading.Event()

        def ask(index: int) -> Reply:
            with self.limit:
                if stopped.is_set():
                    return error_reply("not sent: the run was stopped")
                try:
                    sampling = (max_new_tokens, temperatures[index], seeds[index])
                    reply = self._ask(conversations[index], schemas[index], *sampling)
                except InputError:
                    stopped.set()
                    raise
            if on_reply:
                with report_lock:
                    on_reply(index, reply)
            return reply

        first_of_kind = {schema is not None: index for index, schema in reversed(list(enumerate(schemas)))}
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                with self._first_calls:
                    alone = sorted(index for kind, index in first_of_kind.items() if kind not in self.answered)
                    replies = list(map(ask, alone))
                order = alone + [index for index in range(count) if index not in alone]
                replies += pool.map(ask, order[len(alone) :])
            except BaseException:  # time is up, or Ctrl-C: send nothing more
                stopped.set()
                raise
        return [reply for _, reply in sorted(zip(order, replies, strict=True), key=lambda pair: pair[0])]

    def waves(self, conversations, max_new_tokens):
        size = 1 if self.concurrency == 1 else CALLS_A_WAVE * self.concurrency
        order = list(range(len(conversations)))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _ask(
        self, messages: Conversation, schema: dict | None, max_tokens: int, temperature: float, seed: int
    ) -> Reply:
        """One reply: the request is sent again as the server will have it, with room for cut-off thoughts, or sampled."""
        import openai

        may_think, again = True, False
        while True:
            dialect, room = self.dialect, self.thinking_tokens if may_think else 0
            call = (messages, schema, max_tokens + room, temperature, seed)
            request = dialect.request(*call)
            self._wait_for_quota(messages, request[dialect.tokens_name])
            try:
                answer = llm_chat(**request, **self.call_options, on_retry=self._on_retry)
            except openai.APIStatusError as error:
                if self._learn(dialect, error, request):
                    continue
                if out_of_tokens(error):
                    if room or not may_think:
                        return error_reply(describe(error))
                    self._allow_thinking()
                    continue
                if room and error.status_code in (400, 413, 422):  # perhaps there is no room for that many tokens
                    may_think = False
                    continue
                other = self._in_another_format(describe(error), dialect, call) if may_be_the_format(error) else None
                return other or self._refused(error, schema is not None)
            except (openai.OpenAIError, json.JSONDecodeError) as error:
                record = ": ".join(what_failed(error))
                timed_out = isinstance(error, openai.APITimeoutError)
                other = None if timed_out else self._in_another_format(record, dialect, call)
                unreachable = isinstance(error, openai.APIConnectionError | json.JSONDecodeError)
                return other or self._failed(error, record, unreachable)
            self.answered.add(schema is not None)
            self.failures = 0
            reply = parse_reply(answer, schema, max_tokens + room)
            if may_think and not room and cut_short_by_thoughts(answer):
                self._allow_thinking()
                continue
            if (reply.error or "").startswith((NO_JSON, NO_TEXT)):
                other = None if again else self._in_another_format(reply.error, dialect, call)
                if other or again or schema is None:
                    return other or reply
                (temperature, seed), again = sampled_again(temperature, seed, 1), True
                continue
            self.json_came[True] += schema is not None and not reply.error
            return reply

    def _in_another_format(self, problem: str, dialect: Dialect, call: tuple) -> Reply | None:
        """The reply to a call for JSON that failed in the dialect's format, in the next one in which it comes.

        That format is used from then on. None if no JSON was asked for, if most of it came until now, or if no format
        works. `call` are the arguments of Dialect.request, `problem` is why the call failed.
        """
        import openai

        messages, schema, *_ = call
        if schema is None:
            return None
        with self._learning:
            self.json_came[False] += 1
            if self.json_came[True] >= self.json_came[False] or self.trials == MAX_TRIALS:
                return None
            self.trials += 1
        for other in dialect.other_formats():
            request = other.request(*call)
            self._wait_for_quota(messages, request[other.tokens_name])
            try:
                answer = llm_chat(**request, **self.call_options | {"max_attempts": 1})
            except (openai.OpenAIError, json.JSONDecodeError):
                continue
            reply = parse_reply(answer, schema)
            if not reply.error:
                self._adopt(dialect, other, problem)
                return reply
        if problem.startswith((NO_JSON, NO_TEXT)):
            log.info("%s gave no JSON for one request in any format (%s)", self._server_name(), problem)
        return None

    def _adopt(self, dialect: Dialect, other: Dialect, problem: str) -> None:
        """Ask for JSON in the format of `other` from now on."""
        with self._learning:
            self.answered.add(True)
            self.failures = 0
            if self.dialect is dialect:
                self.dialect, self.json_came = other, Counter({True: 1})
                what = f"gives no JSON for response_format {dialect.json_format}: {other.says_format}"
                log.info("%s %s (%s)", self._server_name(), what, problem)

    def _learn(self, dialect: Dialect, error, request: dict) -> bool:
        """Whether to send a refused request again: the server named a parameter that it does not take."""
        with self._learning:
            if self.dialect is not dialect:  # learned from another call meanwhile
                return True
            learned = dialect.learn(error, request)
            if learned is None:
                return False
            self.dialect, what = learned
            log.info("%s takes %s", self._server_name(), what)
            return True

    def _allow_thinking(self) -> None:
        with self._learning:
            if not self.thinking_tokens:
                self.thinking_tokens = THINKING_TOKENS
                log.info(
                    "%s thinks before it answers: it may write %d more tokens per reply", self.name, THINKING_TOKENS
                )

    def _refused(self, error, for_json: bool) -> Reply:
        """A reply with an error for an openai.APIStatusError; InputError if that concerns the set-up."""
        about = concerns(error)
        if about == SET_UP or (about != REQUEST and not self._answers_a_plain_call(for_json)):
            raise InputError(
                f"expected {self._server_name()} to answer, found status {error.status_code} ({server_words(error)}): "
                f"{remedy(error)}"
            ) from None
        return self._failed(error, describe(error), error.status_code >= 500 or error.status_code == 429)

    def _answers_a_plain_call(self, for_json: bool) -> bool:
        """Whether the set-up is right, if need be by a short call: then an unclear refusal is that one request's."""
        import openai

        if for_json not in self.answered:
            try:
                limit = PLAIN_TOKENS + self.thinking_tokens
                plain = self.dialect.request(PLAIN_CALL, {"enum": ["yes", "no"]} if for_json else None, limit, 0.0, 0)
                llm_chat(**plain, **self.call_options)
            except openai.APIStatusError as error:
                if not out_of_tokens(error):
                    return False
            except (openai.OpenAIError, json.JSONDecodeError):
                return False
            self.answered.add(for_json)
        return True

    def _failed(self, error: Exception, record: str, server_failed: bool) -> Reply:
        """A reply with an error; InputError if the server keeps failing and is not going to answer."""
        if server_failed:
            self.failures += 1
            limited = getattr(error, "status_code", None) == 429  # which all that run at once may be told together
            if not self.answered or self.failures >= MAX_FAILURES + (self.concurrency if limited else 0):
                reason, words = what_failed(error)
                what = SLOW_DOWN if limited else "start the server or correct the address, and run this again"
                raise InputError(
                    f"expected {self._server_name()} to answer, found {reason} ({words}): {what}"
                ) from None
        return error_reply(record)

    def _server_name(self) -> str:
        return f"{self.name} at {address_of(self.call_options['api_base'])}"

    def _on_retry(self, error: BaseException) -> None:
        if getattr(error, "status_code", None) == 429:
            self.limit.refused()

    def _wait_for_quota(self, messages: Conversation, max_new_tokens: int) -> None:
        if self.requests is not None:
            self.requests.try_acquire("requests")
        if self.tokens is not None:
            prompt = sum(len(message["content"].encode()) for message in messages) // BYTES_PER_TOKEN
            self.tokens.try_acquire("tokens", weight=min(prompt + max_new_tokens, self.token_burst))
