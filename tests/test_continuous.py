"""Requests are taken up as others end, in one process and in copies, and a call that was stopped leaves nothing behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
from collections import Counter
from queue import SimpleQueue

import pytest
from scripted_decoder import MOST, SLOTS, ScriptedDecoder, load_scripted

from engines.continuous import ContinuousEngine, Request, feed
from engines.vllm_replicas import VllmReplicas, answer
from utils import InputError


class Scripted(ContinuousEngine):
    """A scripted decoder in this process."""

    def __init__(self, decoder: ScriptedDecoder):
        self.decoder = decoder

    def decode(self, requests, finish):
        feed(self.decoder, requests, finish)


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


def test_a_decoder_is_fed_continuously_and_with_few_requests_at_once():
    decoder, seen = ScriptedDecoder(), []
    replies = Scripted(decoder).chat(asked(words("a", 200)), on_reply=lambda *reply: seen.append(reply))
    assert texts_of(replies) == words("a", 200) and sorted(seen, key=lambda reply: reply[0]) == list(enumerate(replies))
    assert set(decoder.busy[: -MOST * 9]) == {SLOTS} and decoder.largest == MOST


def test_requests_that_cannot_be_written_do_not_end_a_call():
    long = [[{"role": "user", "content": "0 long"}]] * (2 * MOST)
    replies = Scripted(ScriptedDecoder()).chat([*long, *asked(["a"])])
    assert [reply.error for reply in replies] == ["too long"] * (2 * MOST) + [None] and replies[-1].text == "a"


@pytest.mark.parametrize("forgets", [True, False])
def test_stale_replies_of_a_stopped_call_are_not_those_of_the_next(forgets):
    """Also where the decoder finishes what it was told to forget."""
    decoder = ScriptedDecoder(forgets=forgets)
    engine = Scripted(decoder)

    def stop(index, reply):
        raise Stop

    with pytest.raises(Stop):
        engine.chat(asked(words("old", 20)), on_reply=stop)
    assert not forgets or (not decoder.writing and not decoder.waiting)
    assert texts_of(engine.chat(asked(words("new", 20)))) == words("new", 20)
    with pytest.raises(ValueError, match="cannot be enforced"):
        engine.chat(asked(words("old", 3)), schemas=[None, None, "nonsense"])
    assert texts_of(engine.chat(asked(words("new", 5)))) == words("new", 5)


def test_a_signal_at_any_moment_leaves_a_decoder_that_answers_right():
    stop_at_random_moments(Scripted(ScriptedDecoder()), 300, 0.0005)


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
def two_copies(model_path: str, **options):
    """Two scripted copies in processes of their own, ended afterwards."""
    before = set(multiprocessing.active_children())
    copies = VllmReplicas.load([[], []], model_path, load_decoder=load_scripted, **options)
    processes = [child for child in multiprocessing.active_children() if child not in before]
    try:
        yield copies, processes
    finally:
        for channel in copies.channels:
            channel.send(None)
        for process in processes:
            process.join(20)
            assert process.exitcode is not None, "it ends when it is told to"


def test_two_copies_answer_and_stale_replies_of_a_stopped_call_are_dropped(model_path):
    with two_copies(model_path) as (copies, processes):
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
    with two_copies(model_path, pauses=[0.002, 0.02]) as (copies, _):
        replies = copies.chat([[{"role": "user", "content": f"1 {number}"}] for number in range(600)])
        assert [reply.text.split()[0] for reply in replies] == words("", 600)
        counts = Counter(reply.text.split()[1] for reply in replies)
        assert counts["0"] > 3 * counts["1"] > 0, counts
        few = copies.chat([[{"role": "user", "content": f"1 {number}"}] for number in range(4)])
        assert [reply.text.split()[1] for reply in few] == ["0", "0", "1", "1"], "neighbours go to one copy"


def test_a_copy_that_ends_or_cannot_be_loaded_is_said(model_path):
    with pytest.raises(InputError, match="expected a model"):
        VllmReplicas.load([[], []], "nowhere", load_decoder=load_scripted)
    with two_copies(model_path) as (copies, _), stopped_after(20):
        for _ in range(2):  # a call that waits for it for ever would be stopped
            with pytest.raises(RuntimeError, match="ended before its time"):
                copies.chat([[{"role": "user", "content": "1 end"}]])


def test_a_copy_forgets_the_stale_requests_of_a_stopped_call():
    decoder, arrived, sent = ScriptedDecoder(), SimpleQueue(), []
    requests = [Request(messages, None, 8, 0.0, True) for messages in asked(words("a", 40))]

    def send(message):
        sent.append(message)
        if len(sent) == 1:
            arrived.put((0, None))
            arrived.put((1, list(enumerate(requests[:5]))))
        elif len(sent) == 6:
            arrived.put(None)

    arrived.put((0, list(enumerate(requests))))
    answer(decoder, arrived, send)
    assert [call for call, _, _ in sent][-5:] == [1] * 5 and len(sent) == 6
    assert not decoder.writing and not decoder.waiting
