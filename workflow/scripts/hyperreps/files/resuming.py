"""Running a training to its end through interruptions, with progress."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from tqdm import tqdm

from .fingerprint import code_fingerprint
from .storage import destination, reading_from

log = logging.getLogger(__name__)

EXIT_UNFINISHED = 75  # EX_TEMPFAIL: run the same command again to go on


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long a job may train, and how often it saves what it has.

    Attributes:
        save_every: Seconds between two saved states; 0 saves after each epoch.
        minutes: Time budget; when it is used up the process saves and ends with exit
            code 75. None: no limit.
    """

    save_every: float = 60.0
    minutes: float | None = None


@runtime_checkable
class Training(Protocol):
    """What run_to_end can run: something that counts epochs and has a state."""

    epoch: int

    def inputs(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Returns settings and arrays that its course depends on, before it begins."""
        ...

    def run_epoch(self) -> dict[str, float]:
        """Trains for one epoch and returns what is worth a log line."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that load_state_dict needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state of the same training."""
        ...


def input_digest(settings: Mapping[str, Any], *arrays: np.ndarray) -> str:
    """Returns a hash of the settings, the data and the code of the running script.

    A state is only used again by a run with the same digest.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in arrays:
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).data)
    script = Path(sys.argv[0])
    if script.suffix == ".py":
        digest.update(code_fingerprint(script).encode())
    return digest.hexdigest()


@contextmanager
def trained(
    training: Training,
    *,
    epochs: int,
    output: Path,
    pace: Pace,
    ended: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Runs a training to its end; its state goes when the block has written the result.

    Args:
        training: Starts from its saved state, if there is one of the same run.
        epochs: Where it ends.
        output: File of the result; the state of an interrupted run lies beside it.
        pace: Time budget and saving.
        ended: Tells after an epoch whether no more are needed.
    """
    state = output.with_suffix(".state")
    run_to_end(training, epochs=epochs, state=state, pace=pace, ended=ended)
    yield
    state.unlink(missing_ok=True)


def run_to_end(
    training: Training,
    *,
    epochs: int,
    state: Path,
    pace: Pace,
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Runs the epochs that are missing, saving the state on the way.

    Args:
        training: Starts from its saved state, if there is one of the same inputs.
        epochs: Where it ends.
        state: File of the state; it stays.
        pace: Time budget and saving.
        ended: Tells after an epoch whether no more are needed.
    """
    settings, arrays = training.inputs()
    digest = input_digest(settings, *arrays)
    _resume(training, state, digest)
    started = saved = time.monotonic()
    progress = tqdm(total=epochs, initial=training.epoch, unit="epoch", disable=None)
    with progress:
        while training.epoch < epochs and not ended():
            metrics = training.run_epoch()
            shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            log.info("epoch %d/%d  %s", training.epoch, epochs, shown)
            progress.update()
            now = time.monotonic()
            late = pace.minutes is not None and now - started > 60 * pace.minutes
            if training.epoch < epochs and (late or now - saved >= pace.save_every):
                _save(training, state, digest)
                saved = now
            if late and training.epoch < epochs:
                log.info("time budget used up; run the same command again to go on")
                sys.exit(EXIT_UNFINISHED)


def _save(training: Training, state: Path, digest: str) -> None:
    with destination(state) as file:
        torch.save({"digest": digest, "training": training.state_dict()}, file)


def _resume(training: Training, state: Path, digest: str) -> None:
    if not state.exists():
        return
    with reading_from(state):  # else one that is whole would be written over
        content = io.BytesIO(state.read_bytes())
        try:
            with zipfile.ZipFile(content) as archive:
                if broken := archive.testzip():
                    raise zipfile.BadZipFile(f"the checksum of {broken} differs")
            content.seek(0)
            saved = torch.load(content, map_location="cpu", weights_only=True)
            matches = saved["digest"] == digest
        except MemoryError:
            raise
        except Exception as error:
            # whatever is wrong with it, a state can be made anew
            log.info("%s is damaged (%s); starting from the beginning", state, error)
            return
    if not matches:
        log.info("%s belongs to other settings, data or code; starting anew", state)
        return
    training.load_state_dict(saved["training"])
    log.info("resumed after epoch %d", training.epoch)
