"""Any OpenAI-compatible server behind the same `chat()`: several calls at once, with consideration for the server."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from engines.chat import Conversation, Reply, broadcast
from utils import QUOTA_USED_UP, InputError, llm_chat

CALLS_A_WAVE = 8  # per concurrent call; what a journal may have to repeat after a kill
MAX_FAILURES = 5  # calls that the server fails in a row, after all their attempts, before the run stops
FINAL_STATUS = (400, 401, 402, 403, 404)  # wrong request, key, address or model, or no credit left
WRAPPING_TOKENS = 16  # for the object around a JSON schema's value, white space included
CHARS_PER_TOKEN = 3  # a low estimate, so that --tpm is underused rather than exceeded
BURST_DIVISOR = 4  # this fraction of --tpm may be used at once: 1/4


class AdaptiveLimit:
    """How many calls may run at once: one more after as many successes, half as many after a refusal (AIMD).

    Additive increase, multiplicative decrease is how TCP avoids congestion (Chiu & Jain 1989).
    """

    def __init__(self, maximum: int):
        self.maximum, self.limit, self.running = maximum, float(maximum), 0
        self._changed = threading.Condition()

    def __enter__(self):
        with self._changed:
            self._changed.wait_for(lambda: self.running < int(self.limit))
            self.running += 1

    def __exit__(self, *_):
        with self._changed:
            self.running -= 1
            self.limit = min(self.maximum, self.limit + 1 / self.limit)
            self._changed.notify_all()

    def refused(self) -> None:
        """The server reported that it is overloaded."""
        with self._changed:
            self.limit = max(1.0, self.limit / 2)


class ApiEngine:
    """A model behind an OpenAI-compatible API; each call is utils.llm_chat.

    `concurrency` calls run at once, fewer after a 429; `rpm` and `tpm` limit the requests and tokens per minute; `timeout` is
    how many seconds to wait for an answer. Errors that cannot go away on their own (FINAL_STATUS), and a server that fails
    the first call or MAX_FAILURES in a row (no connection, no answer in time, 5xx, no JSON), end the run with an
    InputError. A reply that violates its JSON schema has an `error`.
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
        self.answered, self.failures = False, 0  # whether any call succeeded, and how many in a row have failed since

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        count = len(conversations)
        temperatures, seeds, schemas = (broadcast(value, count) for value in (temperature, seed, schemas))
        report_lock = threading.Lock()
        stopped = threading.Event()

        def ask(index: int) -> Reply:
            with self.limit:
                if stopped.is_set():
                    return Reply("", finish_reason="error", error="not sent: the run was stopped")
                try:
                    options = {"temperature": temperatures[index], "seed": seeds[index]}
                    reply = self._ask(conversations[index], schemas[index], max_tokens=max_new_tokens, **options)
                except InputError:
                    stopped.set()
                    raise
            if on_reply:
                with report_lock:
                    on_reply(index, reply)
            return reply

        order = list(range(len(conversations)))
        alone = 0 if self.answered else 1  # the very first call shows whether key, address and model are correct
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                return [*map(ask, order[:alone]), *pool.map(ask, order[alone:])]
            except BaseException:  # time is up, or Ctrl-C: send nothing more
                stopped.set()
                raise

    def waves(self, conversations, max_new_tokens):
        size = 1 if self.concurrency == 1 else CALLS_A_WAVE * self.concurrency
        order = list(range(len(conversations)))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _ask(self, messages: Conversation, schema: dict | None, **options) -> Reply:
        import openai

        if schema is not None:  # servers accept only an object at the top, so the value is wrapped and unwrapped
            wrapped = {
                "type": "object",
                "properties": {"reply": schema},
                "required": ["reply"],
                "additionalProperties": False,
            }
            options["max_tokens"] += WRAPPING_TOKENS
            options["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": wrapped}}
        self._wait_for_quota(messages, options["max_tokens"])
        try:
            answer = llm_chat(messages, **self.call_options, on_retry=self._on_retry, **options)
            self.answered, self.failures = True, 0
        except openai.APIStatusError as error:
            if error.status_code in FINAL_STATUS or error.code == QUOTA_USED_UP:
                raise InputError(
                    f"expected {self._server_name()} to answer, found status {error.status_code} ({error.message}): "
                    "check key, address, model and quota"
                ) from None
            return self._error_reply(error, server_failed=error.status_code >= 500)
        except (openai.OpenAIError, json.JSONDecodeError) as error:
            return self._error_reply(
                error, server_failed=isinstance(error, openai.APIConnectionError | json.JSONDecodeError)
            )
        return parse_reply(answer, schema)

    def _error_reply(self, error: Exception, server_failed: bool) -> Reply:
        """A reply with an error; InputError if the server keeps failing and is not going to answer."""
        if server_failed:
            self.failures += 1
            if not self.answered or self.failures >= MAX_FAILURES:
                reason = "no connection" if type(error).__name__ == "APIConnectionError" else type(error).__name__
                raise InputError(
                    f"expected {self._server_name()} to answer, found {reason} ({error}): start the server or correct the "
                    "address, and run this again"
                ) from None
        return Reply("", finish_reason="error", error=f"{type(error).__name__}: {error}")

    def _server_name(self) -> str:
        return f"{self.name} at {self.call_options['api_base'] or 'the default address'}"

    def _on_retry(self, error: BaseException) -> None:
        if getattr(error, "status_code", None) == 429:
            self.limit.refused()

    def _wait_for_quota(self, messages: Conversation, max_new_tokens: int) -> None:
        if self.requests is not None:
            self.requests.try_acquire("requests")
        if self.tokens is not None:
            prompt = sum(len(message["content"]) for message in messages) // CHARS_PER_TOKEN
            self.tokens.try_acquire("tokens", weight=min(prompt + max_new_tokens, self.token_burst))


def parse_reply(answer, schema: dict | None) -> Reply:
    """The reply in a server's answer, unwrapped; an error if it has no text or violates its schema."""
    import jsonschema

    text = answer.choices[0].message.content if answer.choices and answer.choices[0].message else None
    if not isinstance(text, str) or not text.strip():
        return Reply("", finish_reason="error", error="the server sent no text")
    text = text.strip()
    if schema is not None:
        try:
            value = json.loads(text)["reply"]
            jsonschema.Draft202012Validator(schema).validate(value)
        except (ValueError, KeyError, TypeError):
            return Reply(
                "", finish_reason="error", error=f"the server sent no JSON that follows the schema: {text[:100]}"
            )
        except jsonschema.ValidationError as error:
            return Reply(
                "",
                finish_reason="error",
                error=f"the server sent no JSON that follows the schema ({error.message}): {text[:100]}",
            )
        text = json.dumps(value, ensure_ascii=False)
    usage = answer.usage
    counts = (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)
    return Reply(text, *counts, answer.choices[0].finish_reason or "stop")
