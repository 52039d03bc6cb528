"""One `chat()` for every model: a whole batch of conversations in, one reply for each out, in order.

A JSON schema, if given, is enforced while the reply is generated, not checked afterwards. A failed call gives a reply whose
`error` says why and whose `text` is empty. See engines.load for how each engine is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from engines.thoughts import without_thoughts

Conversation = list[dict[str, str]]
TOP_P = 0.95  # nucleus sampling (Holtzman et al. 2020), used when temperature > 0
TOP_K = 50
AGAIN_TEMPERATURE = 0.7  # at least, where a reply was of no use: without sampling it would be the same again
# Compact JSON, as llguidance options: a small model wastes tokens on unrestricted white space
JSON_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True)
class Reply:
    """A model's answer. `finish_reason` is "stop", "length" or "error".

    `left_out` is what of JSON was not kept: {"reason", "text"} and perhaps "problem" each.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = "stop"
    error: str | None = None
    left_out: Sequence[dict] = ()


class WaveWaiting(Exception):
    """An engine whose answers come later, in a batch, does not have them all yet. `args`: the steps that wait for them."""


class Engine(Protocol):
    """What every stage needs from a model."""

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

        `temperature`, `seed` and `schemas` (JSON schemas) are one for all, or a list with one for each conversation.
        `on_reply(index, reply)` is called as soon as a reply is complete, in any order. Sampling depends on the seed and
        the prompt, not on the rest of the batch, except with vLLM, which ignores the seed (engines.vllm). Ask for several
        replies to one prompt together, so that it is read only once.
        """

    def waves(self, conversations: list[Conversation], max_new_tokens: int) -> list[list[int]] | None:
        """Indices of the conversations that `chat` answers together, wave after wave.

        None from an engine that replaces each finished conversation by another one: give it all of them at once.
        """


@runtime_checkable
class EngineOfWaves(Engine, Protocol):
    """An engine that answers several waves at the same time."""

    def chat_waves(
        self,
        waves: list[list[int]],
        on_wave: Callable[[list[int], list[Reply]], None],
        conversations: list[Conversation],
        **options,
    ) -> None:
        """Answer the conversations whose indices are in `waves`, with the other options of `chat`.

        `on_wave(wave, replies)` is called as soon as a wave is complete, in any order.
        """


def with_system_prompt(messages: Conversation, system_prompt: str | None) -> Conversation:
    """Put `system_prompt` first; None leaves it to the chat template, which may have its own default."""
    return messages if system_prompt is None else [{"role": "system", "content": system_prompt}, *messages]


def to_reply(text: str, prompt_tokens: int, completion_tokens: int, finish_reason: str) -> Reply:
    """What a local model wrote, without its thoughts; an error if it was cut off in them."""
    answer, cut_off = without_thoughts(text)
    if cut_off and finish_reason == "length":
        error = f"cut off while thinking, after {completion_tokens} tokens: raise --max_new_tokens"
        return Reply("", prompt_tokens, completion_tokens, "error", error)
    return Reply(answer, prompt_tokens, completion_tokens, finish_reason)


def sampled_again(temperature: float, seed: int, times: int) -> tuple[float, int]:
    """Temperature and seed of a request whose reply was of no use so many times, so that the next can be another."""
    return max(temperature, AGAIN_TEMPERATURE), seed + times


def broadcast(value: Any, count: int) -> list:
    """A list with one value for each conversation, from such a list or from one value for all."""
    return value if isinstance(value, list) else [value] * count
