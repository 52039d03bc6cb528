"""Questions asked during training: how many held-out wordings and general questions are answered right, and when most.

It takes at most RECALL_SHARE of the training's wall time: the first answers are timed, as many questions are asked as fit,
always the same ones, and a round that would not fit any more is skipped.
"""

from __future__ import annotations

import logging
import random
import shutil
import time
from pathlib import Path

import torch
import transformers

from budget.clock import RECALL_SHARE, TIMING_SHARE
from data_processor.dataset import question_and_reference
from engines.chat import with_system_prompt
from engines.chat_template import padded_on_the_left, prompt_ids, stop_token_ids
from engines.thoughts import without_thoughts
from evaluation.matching import match, points_of
from training import ranks
from training.adapters import gathered_parameters
from training.checkpoints import unfinished_checkpoint
from training.read_back import autocast, compute_precision
from utils import InputError, read_json, write_json

ROUNDS = 5  # spread evenly over the training, the last one at its end
TIMED_QUESTIONS = 4  # asked first, to measure the speed
MIN_QUESTIONS, MAX_QUESTIONS = 8, 64  # per round: with fewer it says nothing; more are not needed to choose
MAX_NEW_TOKENS = 24
MAX_NEW_TOKENS_LONG = 64  # if any answer has points, as in inference.py
BEST_ADAPTER, BEST_ROUND, UNFINISHED = "best_adapter", "best.json", ".best_adapter.unfinished"

log = logging.getLogger(__name__)


class Recall(transformers.TrainerCallback):
    """Ask `questions` (held-out wordings) and `general` (retention) ROUNDS times; keep the best adapter on disk.

    The score is the mean of the shares answered right in each, judged by `matching.match`. Training ends after
    --early_stopping rounds without an improvement, or never if that is None.
    """

    def __init__(self, trainer, questions: list[dict], general: list[dict], system_prompt: str | None):
        self.trainer, self.system_prompt, self.patience = trainer, system_prompt, trainer.args.early_stopping
        seed = trainer.args.seed
        self.sets = {"recall": shuffled(questions, seed), "retention": shuffled(general, seed)}
        is_long = any(points_of(row) for rows in self.sets.values() for row in rows)
        self.max_new_tokens = MAX_NEW_TOKENS_LONG if is_long else MAX_NEW_TOKENS
        self.size: int | None = None  # questions from each set, the same in all rounds
        self.seconds_spent = self.round_seconds = (
            0.0  # of all rounds with timing and saving; of the last round's answers
        )
        self.progress = 0.0  # by the clock, at the last update
        self.best: dict = {}
        self.rounds_without_gain = self.last_round_step = 0  # the step of the last round

    def on_train_begin(self, args, state, control, **_):
        self.began, self.first = time.monotonic(), state.global_step
        if state.global_step:  # resumed
            best = read_best(Path(args.output_dir) / BEST_ADAPTER)
            self.best = best if best.get("step", 0) <= state.global_step else {}
            self.size = self.best.get("size")

    def on_step_end(self, args, state, control, **_):
        round_steps = {round(state.max_steps * (number + 1) / ROUNDS) for number in range(ROUNDS)}
        clock = self.trainer.clock
        if clock:
            before, self.progress = self.progress, clock.progress
            if int(ROUNDS * self.progress) > int(ROUNDS * before):
                self.ask_round(args, state, control, clock.seconds)
        elif state.global_step in round_steps:
            done = (state.global_step - self.first) / max(state.max_steps - self.first, 1)
            self.ask_round(args, state, control, (time.monotonic() - self.began) / done)

    def ask_round(self, args, state, control, expected_seconds: float) -> None:
        """Ask once, if `expected_seconds` of training leave time for it; rank 0 asks, the others wait."""
        left = RECALL_SHARE * expected_seconds - self.seconds_spent
        started = time.monotonic()
        score = None
        if state.is_world_process_zero:
            score = self._score(left, state)
        better, stop = self._is_best(score, state)
        better, stop = (bool(ranks.broadcast(flag)) for flag in (better, stop))
        if better:
            self._keep(Path(args.output_dir) / BEST_ADAPTER, state.is_world_process_zero)
        self.seconds_spent += time.monotonic() - started
        if stop:
            control.should_training_stop = True

    def _keep(self, folder: Path, writes: bool) -> None:
        """Save this round's adapter in place of the best so far, whole or not at all; only one rank `writes`."""
        unfinished = folder.with_name(UNFINISHED)
        with unfinished_checkpoint(unfinished):
            self.trainer.save_model(str(unfinished))
            if writes:
                write_json(unfinished / BEST_ROUND, self.best)
                shutil.rmtree(folder, ignore_errors=True)
                unfinished.rename(folder)
        if writes:  # on a full disk, the one before
            self.best = read_best(folder)

    def _progress(self, state) -> float:
        """The share of the training that is done."""
        return self.trainer.clock.progress if self.trainer.clock else state.global_step / state.max_steps

    def _score(self, seconds: float, state) -> float | None:
        """The mean share of right answers, or None if there is no time to ask."""
        if seconds <= 0:
            return None
        if self.size is None:
            started, allowed = time.monotonic(), TIMING_SHARE * seconds
            timed = [row for rows in self.sets.values() for row in rows][:TIMED_QUESTIONS]
            self._count_right(timed, allowed)
            timing_seconds = time.monotonic() - started
            seconds_per_question = timing_seconds / TIMED_QUESTIONS
            rounds_left = max(1, ROUNDS - round(ROUNDS * self._progress(state)) + 1)
            affordable = int((seconds - timing_seconds) / rounds_left / seconds_per_question)
            # if cut off, they give only a lower bound per question
            if affordable < MIN_QUESTIONS or timing_seconds > allowed:
                log.info(
                    "recall skipped at step %d: %.1f s or more per question, %.1f s left",
                    state.global_step,
                    seconds_per_question,
                    seconds,
                )
                return None
            set_count = sum(bool(rows) for rows in self.sets.values())
            self.size, self.round_seconds = min(MAX_QUESTIONS, affordable) // set_count, 0.0
        last = self._progress(state) == 1
        if self.round_seconds * (1 if last else 2) > seconds:  # the final model is always worth asking
            log.info(
                "recall skipped at step %d: it would take more than %.0f%% of the time",
                state.global_step,
                100 * RECALL_SHARE,
            )
            return None
        started = time.monotonic()
        shares = {}
        for name, rows in self.sets.items():
            asked = rows[: self.size]
            if asked:
                shares[name] = round(self._count_right(asked) / len(asked), 4)
        self.round_seconds, self.last_round_step = time.monotonic() - started, state.global_step
        self.trainer.log({**shares, "asked": self.size, "seconds": round(self.round_seconds, 2)})
        shares_text = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        log.info(
            "step %d: %s of %d questions each, in %.1f s", state.global_step, shares_text, self.size, self.round_seconds
        )
        return sum(shares.values()) / len(shares)

    def _is_best(self, score: float | None, state) -> tuple[bool, bool]:
        """Whether this round is the best so far, and whether to stop. In a tie the later one wins: it has trained longer."""
        if score is None:
            return False, False
        if score >= self.best.get("score", 0.0):
            self.best, self.rounds_without_gain = {"score": score, "step": state.global_step, "size": self.size}, 0
            return True, False
        self.rounds_without_gain += 1
        return False, self.patience is not None and self.rounds_without_gain >= self.patience

    def _count_right(self, rows: list[dict], seconds: float | None = None) -> int:
        """How many of the questions the current model answers right, decoding greedily; cut off after `seconds`."""
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        tokenizer = self.trainer.processing_class
        pairs = [(question, without_thoughts(answer)[0]) for question, answer in map(question_and_reference, rows)]
        prompts = [
            prompt_ids(tokenizer, with_system_prompt([{"role": "user", "content": question}], self.system_prompt))
            for question, _ in pairs
        ]
        stops = stop_token_ids(model, tokenizer)
        ids, mask = padded_on_the_left(prompts, stops[0], model.device)
        model.eval()
        training = self.trainer.args
        with torch.no_grad(), autocast(compute_precision(training), training.device.type):
            generated = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=self.max_new_tokens,
                max_time=seconds,
                do_sample=False,
                use_cache=True,
                eos_token_id=stops,
                pad_token_id=stops[0],
            )
        model.train()
        texts = tokenizer.batch_decode(generated[:, ids.shape[1] :], skip_special_tokens=True)
        answers = [without_thoughts(text)[0] for text in texts]
        return sum(
            match(reference, answer, question, points=points_of(row))
            for row, (question, reference), answer in zip(rows, pairs, answers, strict=True)
        )

    def restore_best(self, output_dir: str, step: int) -> int:
        """Put the best round's adapter back into the model, and return its step.

        The last `step` stays if it is the best, or if no questions were asked there.
        """
        if not self.best or self.best["step"] == step or self.last_round_step != step:
            return step
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        weights = load_file(Path(output_dir) / BEST_ADAPTER / "adapter_model.safetensors")
        with gathered_parameters(model, modifier_rank=0):
            set_peft_model_state_dict(model, weights)
        return self.best["step"]


def require_questions(questions: list[dict], general: list[dict]) -> None:
    """InputError if there are no questions for --early_stopping to decide by."""
    if not (questions or general):
        raise InputError(
            "expected --recall_data_path or --retention_data_path with --early_stopping, found neither: give one"
        )


def make_recall(trainer, questions: list[dict], general: list[dict], system_prompt: str | None) -> Recall | None:
    """The callback that asks questions during training; None if there are none or they cannot be asked."""
    if not (questions or general):
        return None
    if not hasattr(trainer.model, "peft_config") or transformers.integrations.is_deepspeed_zero3_enabled():
        log.info(
            "no questions are asked during training: that needs LoRA and, since generation crawls under it, no ZeRO-3"
        )
        return None
    return Recall(trainer, questions, general, system_prompt)


def shuffled(rows: list[dict], seed: int) -> list[dict]:
    rows = list(rows)
    random.Random(seed).shuffle(rows)
    return rows


def read_best(folder: Path) -> dict:
    """The score, step and size of the best round, whose adapter is in a folder; {} if there is none."""
    path = folder / BEST_ROUND
    return read_json(path, "the best round so far") if path.is_file() else {}


def remove_best_adapter(output_dir: str) -> None:
    """Remove the copy of the best adapter: it is in `output_dir` itself now."""
    for name in (BEST_ADAPTER, UNFINISHED):
        shutil.rmtree(Path(output_dir) / name, ignore_errors=True)
