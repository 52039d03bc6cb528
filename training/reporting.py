"""Where a training is reported beside our own log: wandb, TensorBoard and others. What fails there ends no training."""

from __future__ import annotations

import base64
import functools
import json
import logging
import netrc
import os
import urllib.error
import urllib.parse
import urllib.request

import transformers
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from engines.hub import NETWORK_S, call_within

WANDB_PROJECT = "KnowledgeUpdate"  # unless the environment names one
OFFLINE_MODES = ("offline", "dryrun", "disabled")

log = logging.getLogger(__name__)


def set_up_wandb(training) -> None:
    """Report to wandb if asked to; offline without a key, or if the server does not take it within seconds.

    Only the rank that reports asks the server. `training` are the arguments of finetune.py.
    """
    key, training.key = training.key, None  # the key must not reach a log or a file
    if training.use_wandb and "wandb" not in training.report_to:
        training.report_to = [*training.report_to, "wandb"]
    if "wandb" not in training.report_to:
        return
    training.run_name = training.wandb_run_name
    os.environ.setdefault("WANDB_PROJECT", WANDB_PROJECT)
    if key:
        os.environ["WANDB_API_KEY"] = key
    try:
        server = wandb_server()
    except Exception:  # settings that wandb refuses: start_wandb says which, and the training goes on
        return
    key = os.environ.get("WANDB_API_KEY") or saved_key(server)
    if os.environ.get("WANDB_MODE") in OFFLINE_MODES:
        return
    if not key and not os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        os.environ["WANDB_MODE"] = "offline"
    elif key and training.process_index == 0:
        problem = wandb_problem(server, key)
        if problem:
            os.environ["WANDB_MODE"] = "offline"
            log.warning("wandb: %s %s; logging goes on offline, `wandb sync` sends it later", server, problem)


def wandb_server() -> str:
    """The address that wandb would use: from WANDB_BASE_URL, from the settings that `wandb login` wrote, or its own."""
    import wandb

    server = wandb.setup().settings.base_url
    wandb.teardown()  # it would ignore what is set in the environment from now on
    return server


def saved_key(server: str) -> str | None:
    """The key that `wandb login` has saved."""
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(urllib.parse.urlparse(server).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def wandb_problem(server: str, key: str) -> str | None:
    """Why a wandb server cannot be used with a key, in a few words; None if it can."""
    query = json.dumps({"query": "query { viewer { id } }"}).encode()
    login = base64.b64encode(f"api:{key}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}

    def ask() -> dict:
        request = urllib.request.Request(server.rstrip("/") + "/graphql", query, headers)
        with urllib.request.urlopen(request, timeout=NETWORK_S) as answer:
            return json.load(answer)

    try:
        answer = call_within(NETWORK_S, ask)
    except urllib.error.HTTPError as error:
        return "refuses the key" if error.code in (401, 403) else f"answers with status {error.code}"
    except (OSError, ValueError) as error:  # no network, no server, a time limit, an answer that is not JSON
        return f"cannot be reached ({getattr(error, 'reason', error)})"
    viewer = (answer.get("data") or {}).get("viewer") if isinstance(answer, dict) else None
    return None if viewer else "refuses the key"


def guard_reporters(trainer: transformers.Trainer) -> None:
    """Put a Reporter around each of a Trainer's callbacks that report elsewhere."""
    reporters, handler = tuple(INTEGRATION_TO_CALLBACK.values()), trainer.callback_handler
    handler.callbacks = [Reporter(one) if isinstance(one, reporters) else one for one in handler.callbacks]


class Reporter(transformers.TrainerCallback):
    """Passes every event on to a callback such as wandb's; its first error ends this reporting, but not the training."""

    def __init__(self, callback: transformers.TrainerCallback):
        self.callback, self.name = callback, type(callback).__name__.removesuffix("Callback")

    def pass_on(self, event: str, args, state, control, **options) -> None:
        if self.callback is None:
            return
        try:
            if event == "on_train_begin" and self.name == "Wandb" and state.is_world_process_zero:
                start_wandb(args.run_name)
            getattr(self.callback, event)(args, state, control, **options)
        except Exception as error:  # whatever a library for reporting raises
            self.callback = None
            reason = (str(error).strip().splitlines() or [""])[0]
            log.warning("%s: %s: %s; the training goes on without it", self.name, type(error).__name__, reason)


for one in vars(transformers.TrainerCallback):
    if one.startswith("on_"):
        setattr(Reporter, one, functools.partialmethod(Reporter.pass_on, one))


def start_wandb(run_name: str | None) -> None:
    """Start a wandb run, offline if the server does not answer in time; at the end it waits no longer for the server."""
    import wandb

    if wandb.run is not None:
        return
    settings = wandb.Settings(init_timeout=2 * NETWORK_S, finish_timeout=2 * NETWORK_S)
    options = {"project": os.environ.get("WANDB_PROJECT", WANDB_PROJECT), "name": run_name, "settings": settings}
    try:
        wandb.init(mode=os.environ.get("WANDB_MODE"), **options)  # the environment is read when wandb is imported
    except Exception as error:  # wandb's own, and those of its service process
        if os.environ.get("WANDB_MODE") in OFFLINE_MODES:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        log.warning("wandb: no start within seconds (%s); logging goes on offline", reason)
        wandb.init(mode="offline", **options)
