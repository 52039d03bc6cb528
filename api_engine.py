"""Any OpenAI-compatible server behind the same `chat()`: several calls at once, and manners towards the server."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from llm import Conversation, Reply
from utils import InputError, llm_chat

CALLS_A_WAVE = 8  # for each call at once; what a journal may have to repeat after a kill
DEAD_AFTER = 5  # calls in a row that fail to reach the server, each with all its attempts, before the run stops
CHARS_PER_TOKEN = 3  # a low guess, so that --tpm is rather under- than overspent
BURST_SHARE = 4  # a quarter of the tokens of a minute may go at once


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

    `concurrency` calls run at once, fewer after a 429; `rpm` and `tpm` are the most requests and tokens a minute. What
    cannot pass by itself (400, 401, 403, 404), and a server that the first call or DEAD_AFTER in a row do not reach, end the run
    with an InputError.
    """

    def __init__(
        self,
        model: str,
        api_base: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        max_attempts: int = 5,
        retry_delay: float = 2.0,
        concurrency: int = 1,
        rpm: int | None = None,
        tpm: int | None = None,
    ):
        if not model:
            raise InputError("expected the name of the API's model, found none: give --api_model")
        if concurrency < 1:
            raise InputError(f"expected --concurrency of at least 1, found {concurrency}: raise it")
        self.name, self.concurrency = model, concurrency
        self.call = {
            "model": model,
            "api_base": api_base,
            "api_key_env": api_key_env,
            "max_attempts": max_attempts,
            "retry_delay": retry_delay,
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
        self.reached, self.unreached = False, 0  # whether any call got through, and how many failed to since

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        if not isinstance(schemas, list):
            schemas = [schemas] * len(conversations)
        options = {"max_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
        reported = threading.Lock()
        stopped = threading.Event()

        def ask(index: int) -> Reply:
            with self.limit:
                if stopped.is_set():
                    return Reply("", finish_reason="error", error="not sent: the run was stopped")
                try:
                    reply = self._ask(conversations[index], schemas[index], **options)
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
            return [*map(ask, order[:alone]), *pool.map(ask, order[alone:])]

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
            options["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": wrapped}}
        self._wait_for_quota(messages, options["max_tokens"])
        try:
            answer = llm_chat(messages, **self.call, on_retry=self._failed, **options)
            self.reached, self.unreached = True, 0
        except (
            openai.AuthenticationError,
            openai.PermissionDeniedError,
            openai.NotFoundError,
            openai.BadRequestError,
        ) as error:
            raise InputError(
                f"expected {self._where()} to answer, found status {error.status_code} ({error.message}): "
                "check key, address and model"
            ) from None
        except openai.OpenAIError as error:
            if isinstance(error, openai.APIConnectionError):
                self.unreached += 1
                if not self.reached or self.unreached >= DEAD_AFTER:
                    raise InputError(
                        f"expected {self._where()} to answer, found no connection "
                        f"({error}): start the server or mend the address, and run this again"
                    ) from None
            return Reply("", finish_reason="error", error=f"{type(error).__name__}: {error}")
        if not answer.choices or answer.choices[0].message.content is None:
            return Reply("", finish_reason="error", error="the server sent no text")
        text = answer.choices[0].message.content.strip()
        if schema is not None:
            try:
                text = json.dumps(json.loads(text)["reply"], ensure_ascii=False)
            except (json.JSONDecodeError, KeyError, TypeError):
                return Reply("", finish_reason="error", error=f"the server sent no JSON of the schema: {text[:100]}")
        usage = answer.usage
        counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        return Reply(text, *counts, answer.choices[0].finish_reason or "stop")

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
