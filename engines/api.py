"""Any OpenAI-compatible server behind the same `chat()`: several calls at once, and manners towards the server."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from engines.chat import Conversation, Reply, broadcast
from utils import QUOTA_USED_UP, InputError, llm_chat

CALLS_A_WAVE = 8  # for each call at once; what a journal may have to repeat after a kill
DEAD_AFTER = 5  # calls in a row that the server fails, each with all its attempts, before the run stops
FINAL_STATUS = (400, 401, 402, 403, 404)  # a mistake in the request, key, address or model, or no money left
WRAPPING_TOKENS = 16  # for the object round a value of a JSON schema, white space included
CHARS_PER_TOKEN = 3  # a low guess, so that --tpm is rather under- than overspent
BURST_SHARE = 4  # of --tpm, one part in so many may go at once


class AdaptiveLimit:
    """How many calls may run at once: one more after as many good ones, half as many after a refusal (AIMD).

    Additive increase, multiplicative decrease is what TCP does against congestion (Chiu & Jain 1989).
    """

    def __init__(self, most: int):
        self.most, self.limit, self.running = most, float(most), 0
        self._changed = threading.Condition()

    def __enter__(self):
        with self._changed:
            self._changed.wait_for(lambda: self.running < int(self.limit))
            self.running += 1

    def __exit__(self, *_):
        with self._changed:
            self.running -= 1
            self.limit = min(self.most, self.limit + 1 / self.limit)
            self._changed.notify_all()

    def refused(self) -> None:
        """The server said that it has too much to do."""
        with self._changed:
            self.limit = max(1.0, self.limit / 2)


class ApiEngine:
    """A model behind an OpenAI-compatible API; each call is utils.llm_chat.

    `concurrency` calls run at once, fewer after a 429; `rpm` and `tpm` are the most requests and tokens a minute;
    `timeout` is how many seconds to wait for an answer. What cannot pass by itself (FINAL_STATUS), and a server that fails the
    first call or DEAD_AFTER in a row (no connection, no answer in time, 5xx, no JSON), end the run with an InputError.
    A reply that breaks its JSON schema has an `error`.
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
        self.call = {
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
                self.token_burst = max(1, tpm // BURST_SHARE)
                self.tokens = limiter_factory.create_token_bucket_limiter(tpm, Duration.MINUTE, burst=self.token_burst)
        self.reached, self.unreached = False, 0  # whether any call got through, and how many in a row did not since

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        amount = len(conversations)
        temperatures, seeds, schemas = (broadcast(value, amount) for value in (temperature, seed, schemas))
        reported = threading.Lock()
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
                with reported:
                    on_reply(index, reply)
            return reply

        order = list(range(len(conversations)))
        alone = 0 if self.reached else 1  # the very first call shows whether key, address and model are right
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                return [*map(ask, order[:alone]), *pool.map(ask, order[alone:])]
            except BaseException:  # the time is up, or Ctrl-C: what is not sent yet stays so
                stopped.set()
                raise

    def waves(self, conversations, max_new_tokens):
        size = 1 if self.concurrency == 1 else CALLS_A_WAVE * self.concurrency
        order = list(range(len(conversations)))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _ask(self, messages: Conversation, schema: dict | None, **options) -> Reply:
        import openai

        if schema is not None:  # servers take an object at the top only, so the value is wrapped and unwrapped
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
            answer = llm_chat(messages, **self.call, on_retry=self._failed, **options)
            self.reached, self.unreached = True, 0
        except openai.APIStatusError as error:
            if error.status_code in FINAL_STATUS or error.code == QUOTA_USED_UP:
                raise InputError(
                    f"expected {self._where()} to answer, found status {error.status_code} ({error.message}): "
                    "check key, address, model and quota"
                ) from None
            return self._unanswered(error, dead=error.status_code >= 500)
        except (openai.OpenAIError, json.JSONDecodeError) as error:
            return self._unanswered(error, dead=isinstance(error, openai.APIConnectionError | json.JSONDecodeError))
        return parse_reply(answer, schema)

    def _unanswered(self, error: Exception, dead: bool) -> Reply:
        """An error reply; InputError where `dead` failures say that the server will answer nothing."""
        if dead:
            self.unreached += 1
            if not self.reached or self.unreached >= DEAD_AFTER:
                reason = "no connection" if type(error).__name__ == "APIConnectionError" else type(error).__name__
                raise InputError(
                    f"expected {self._where()} to answer, found {reason} ({error}): start the server or mend the "
                    "address, and run this again"
                ) from None
        return Reply("", finish_reason="error", error=f"{type(error).__name__}: {error}")

    def _where(self) -> str:
        return f"{self.name} at {self.call['api_base'] or 'the default address'}"

    def _failed(self, error: BaseException) -> None:
        if getattr(error, "status_code", None) == 429:
            self.limit.refused()

    def _wait_for_quota(self, messages: Conversation, max_new_tokens: int) -> None:
        if self.requests is not None:
            self.requests.try_acquire("requests")
        if self.tokens is not None:
            prompt = sum(len(message["content"]) for message in messages) // CHARS_PER_TOKEN
            self.tokens.try_acquire("tokens", weight=min(prompt + max_new_tokens, self.token_burst))


def parse_reply(answer, schema: dict | None) -> Reply:
    """The reply in a server's answer, taken out of its wrapping; an error where it has no text or breaks its schema."""
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
            return Reply("", finish_reason="error", error=f"the server sent no JSON of the schema: {text[:100]}")
        except jsonschema.ValidationError as error:
            return Reply(
                "",
                finish_reason="error",
                error=f"the server sent no JSON of the schema ({error.message}): {text[:100]}",
            )
        text = json.dumps(value, ensure_ascii=False)
    usage = answer.usage
    counts = (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)
    return Reply(text, *counts, answer.choices[0].finish_reason or "stop")
