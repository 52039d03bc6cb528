"""One `chat()` for every model: a whole batch of conversations in, one reply for each out, in order.

A JSON schema, where given, is enforced while the reply is written, not checked afterwards. A call that failed gives a reply
whose `error` says why and whose `text` is empty. See engines.load for how each engine is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Conversation = list[dict[str, str]]
TOP_P = 0.95  # nucleus sampling (Holtzman et al. 2020), used when temperature > 0
TOP_K = 50
# Compact JSON, in llguidance's words: a small model wastes tokens on free white space
JSON_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True)
class Reply:
    """What a model answered. `finish_reason` is "stop", "length" or "error"."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = "stop"
    error: str | None = None


class Engine(Protocol):
    """What every stage asks of a model."""

    name: str

    def chat(
        self,
        conversations: list[Conversation],
        *,
        max_new_tokens: int = 256,
        temperature: float | list[float] = 0.0,
        seed: int | list[int] = 0,
        schemas: dict | list[dict] | None = None,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        """Answer every conversation (messages with "role" and "content").

        `temperature`, `seed` and `schemas` (JSON schemas) are one for all, or one for each conversation.
        `on_reply(index, reply)` is called as soon as a reply is whole, in any order. Sampling depends on the seed and
        the prompt, not on the neighbours, except on vLLM, which hears no seed (engines.vllm). Several replies to one
        prompt are best asked for together, which reads it once.
        """

    def waves(self, conversations: list[Conversation], max_new_tokens: int) -> list[list[int]] | None:
        """Indices of the conversations that `chat` answers together, wave after wave.

        None from an engine that finishes each by itself and takes up another in its place: it is best handed all at once.
        """


def with_system_prompt(messages: Conversation, system_prompt: str | None) -> Conversation:
    """Put `system_prompt` in front; None leaves it to the chat template, which may have a default of its own."""
    return messages if system_prompt is None else [{"role": "system", "content": system_prompt}, *messages]


def broadcast(value: Any, amount: int) -> list:
    """What is given for all conversations or for each of them, as a list."""
    return value if isinstance(value, list) else [value] * amount
