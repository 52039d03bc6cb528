"""Copies are fed as their replies come, and a call that was stopped leaves nothing behind: without a model, or vLLM."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
from collections import Counter
from queue import SimpleQueue

import pytest
from scripted_decoder import SLOTS, ScriptedDecoder, load_scripted

from engines.vllm import VllmEngine, answer
from engines.vllm_decoder import Request
from utils import InputError


class Stop(Exception):
    """What the handler of a signal raises."""


def asked(texts: list[str], seed: int = 0) -> list:
    """Conversations that take 1 to 9 steps each."""
    draw = random.Random(seed)
    return [[{"role": "user", "content": f"{draw.randint(1, 9)} {text}"}] for text in texts]


def texts_of(replies) -> list[str]:
    return [reply.text for reply in replies]


def words(name: str, amount: int) -> list[str]:
    return [f"{name}{number}" for number in range(amount)]


@contextlib.contextmanager
def stopped_after(seconds: float):
    """Raises Stop in what takes longer."""

    def stop(*_):
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def stop_at_random_moments(engine, times: int, longest_s: float) -> None:
    """Stop a call by a signal, again and again; the next one's replies must be its own."""
    draw, stopped = random.Random(0), 0
    for number in range(times):
        try:
            with stopped_after(draw.uniform(1e-5, longest_s)):
                engine.chat(asked(words(f"old{number}.", 400), number))
        except Stop:
            stopped += 1
        assert texts_of(engine.chat(asked(words(f"new{number}.", 7)))) == words(f"new{number}.", 7)
    assert stopped > 0.9 * times


@contextlib.contextmanager
def scripted(model_path: str, count: int = 2, **options):
    """(engine, processes): scripted copies in processes of their own, ended afterwards."""
    before = set(multiprocessing.active_children())
    copies = VllmEngine.load([[]] * count, model_path, load_decoder=load_scripted, **options)
    processes = [child for child in multiprocessing.active_children() if child not in before]
    try:
        yield copies, processes
    finally:
        for channel in copies.channels:
            channel.send(None)
        for process in processes:
            process.join(20)
            assert process.exitcode is not None, "it ends when it is told to"


def test_a_copy_is_fed_continuously(model_path):
    """It is never drained before the last requests are with it; its decoder sees to it that it never has too many."""
    with scripted(model_path, 1, pauses=[0.01]) as (engine, _):
        seen = []
        replies = engine.chat(asked(words("a", 150)), on_reply=lambda *reply: seen.append(reply))
        assert [reply.text.split()[0] for reply in replies] == words("a", 150)
        assert sorted(seen, key=lambda reply: reply[0]) == list(enumerate(replies))
        busy = [int(reply.text.split()[2]) for _, reply in seen[: -2 * SLOTS]]
        assert busy.count(SLOTS) > 0.95 * len(busy), busy


def test_requests_that_cannot_be_written_do_not_end_a_call(model_path):
    with scripted(model_path, 1) as (engine, _):
        replies = engine.chat([*[[{"role": "user", "content": "0 long"}]] * 40, *asked(["a"])])
        assert [reply.error for reply in replies] == ["too long"] * 40 + [None] and replies[-1].text == "a"
        assert engine.chat([]) == []


def test_two_copies_answer_and_stale_replies_of_a_stopped_call_are_dropped(model_path):
    with scripted(model_path) as (copies, processes):
        seen = []
        replies = copies.chat(asked(words("a", 500)), on_reply=lambda index, reply: seen.append(index))
        assert texts_of(replies) == words("a", 500) and sorted(seen) == list(range(500))
        stop_at_random_moments(copies, 150, 0.02)
        with pytest.raises(ValueError, match="cannot be enforced"):
            copies.chat(asked(words("old", 90)), schemas="nonsense")
        for process in processes:
            os.kill(process.pid, signal.SIGINT)  # Ctrl-C reaches them too
        assert texts_of(copies.base().chat(asked(["b", "c"]))) == ["b", "c"]


def test_two_copies_share_the_prompts_so_that_neither_is_idle(model_path):
    with scripted(model_path, pauses=[0.002, 0.02]) as (copies, _):
        replies = copies.chat([[{"role": "user", "content": f"1 {number}"}] for number in range(600)])
        assert [reply.text.split()[0] for reply in replies] == words("", 600)
        counts = Counter(reply.text.split()[1] for reply in replies)
        assert counts["0"] > 3 * counts["1"] > 0, counts
        few = copies.chat([[{"role": "user", "content": f"1 {number}"}] for number in range(4)])
        assert [reply.text.split()[1] for reply in few] == ["0", "0", "1", "1"], "neighbours go to one copy"


def test_a_copy_that_ends_or_cannot_be_loaded_is_said(model_path):
    with pytest.raises(InputError, match="expected a model"):
        VllmEngine.load([[], []], "nowhere", load_decoder=load_scripted)
    with scripted(model_path) as (copies, _), stopped_after(20):
        for _ in range(2):  # a call that waits for it for ever would be stopped
            with pytest.raises(RuntimeError, match="ended unexpectedly"):
                copies.chat([[{"role": "user", "content": "1 end"}]])


@pytest.mark.parametrize("forgets", [True, False])
def test_a_copy_sends_no_stale_replies_of_a_stopped_call(forgets):
    """Also where the decoder finishes what it was told to forget."""
    decoder, arrived, sent = ScriptedDecoder(forgets=forgets), SimpleQueue(), []
    requests = [Request(messages, None, 8, 0.0, True) for messages in asked(words("a", 10))]

    def send(message):
        sent.append(message)
        if len(sent) == 1:
            arrived.put((0, None))
            arrived.put((1, list(enumerate(requests[:5]))))
        elif len(sent) == 6:
            arrived.put(None)

    arrived.put((0, list(enumerate(requests))))
    answer(decoder, arrived, send)
    [first, *others] = sent
    assert first[0] == 0 and sorted((call, index) for call, index, _ in others) == [(1, index) for index in range(5)]
    assert not forgets or (not decoder.writing and not decoder.waiting)
