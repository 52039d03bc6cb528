"""A wandb run that cannot hold up the work: offline without a key, or if the server does not answer within seconds."""

from __future__ import annotations

import base64
import json
import logging
import netrc
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from engines.hub import NETWORK_S, call_within

WANDB_PROJECT = "KnowledgeUpdate"  # unless the environment names one
RUN_NAME = "knowledge-update"  # of a training on its own, unless it is given another
OFFLINE_MODES = ("offline", "dryrun", "disabled")

log = logging.getLogger(__name__)


def choose_wandb_mode(ask: bool = True) -> None:
    """Set WANDB_PROJECT, and WANDB_MODE to offline if there is no key, or, where this process may `ask`, no server for it."""
    os.environ.setdefault("WANDB_PROJECT", WANDB_PROJECT)
    try:
        server = wandb_server()
    except Exception:  # settings that wandb refuses: start_wandb says which, and the work goes on
        return
    key = os.environ.get("WANDB_API_KEY") or saved_key(server)
    if os.environ.get("WANDB_MODE") in OFFLINE_MODES:
        return
    if not key and not os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        os.environ["WANDB_MODE"] = "offline"
    elif key and ask:
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


def start_wandb(run_name: str | None, settings: dict[str, Any] | None = None, **options: Any) -> None:
    """Start a wandb run, offline if the server does not answer in time; at the end it waits no longer for the server.

    `settings` are more of wandb.Settings, `options` more of wandb.init.
    """
    import wandb

    if wandb.run is not None:
        return
    settings = wandb.Settings(init_timeout=2 * NETWORK_S, finish_timeout=2 * NETWORK_S, **(settings or {}))
    options |= {"project": os.environ.get("WANDB_PROJECT", WANDB_PROJECT), "name": run_name, "settings": settings}
    try:
        wandb.init(mode=os.environ.get("WANDB_MODE"), **options)  # the environment is read when wandb is imported
    except Exception as error:  # wandb's own, and those of its service process
        if os.environ.get("WANDB_MODE") in OFFLINE_MODES:
            raise
        log.warning("wandb: no start within seconds (%s); logging goes on offline", reason_of(error))
        wandb.init(mode="offline", **options)


def reason_of(error: Exception) -> str:
    """The first line of an error's message, or its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
