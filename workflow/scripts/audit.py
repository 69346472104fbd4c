"""Audits the samples of one method: how far they are from the training networks."""

import json
import math
from pathlib import Path
from typing import Annotated

import numpy as np

from hyperreps.audit.auditor import Candidates, auditor_for
from hyperreps.data.images import read_images
from hyperreps.files.storage import DataFileError, read_arrays, write_arrays
from hyperreps.files.tensors import read_tensors
from hyperreps.representation.curves import R2_HELD_OUT, R2_TRAINING, read_curve
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.zoo.members import DRAWING_TIME, sample_groups
from hyperreps.zoo.zoos import read_zoo


def main(
    *,
    zoo: Path,
    dataset: Path,
    references: Path,
    samples: Path,
    hyper_reps: tuple[Path, ...] = (),
    curves: tuple[Path, ...] = (),
    output: Path,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Writes novelty/{zoo}/{method}.h5.

    Args:
        zoo: The zoo the samples were learned from, in the same coordinates.
        dataset: Prepared images; answers to the test images are compared.
        references: File of audit_references.py for this zoo.
        samples: samples/{zoo}/{method}.h5.
        hyper_reps: Files of pretrain.py that they were drawn from; none: weight space.
        curves: Their training curves, in the same order.
        output: HDF5 file to write.
        machine: Where it computes.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    known, about = read_arrays(references, "predictions", kind="novelty_references")
    sampled, origin = read_arrays(
        samples, "weights", "source_model", "hyper_rep_seed", kind="samples"
    )
    if not str(about["zoo"]) == str(origin["source"]) == data.name:
        raise DataFileError(
            f"{samples}: of zoo {origin['source']!r}, but {references} is of"
            f" {about['zoo']!r} and {zoo} of {data.name!r}"
        )
    answers = known["predictions"]
    images = read_images(dataset).on(place)["test"].first(answers.shape[1])
    try:
        auditor = auditor_for(data, images, answers=answers)
    except ValueError as error:
        raise DataFileError(f"{references}: {error}; run the stage again") from error
    weights, models = sampled["weights"], sampled["source_model"]
    if not np.isfinite(weights).all():
        row = int(np.argmax(~np.isfinite(weights).all(1)))
        raise DataFileError(f"{samples}: network {row} has weights that are not finite")
    sources = models.reshape(len(models), -1)
    audit = auditor(Candidates(weights, sources))
    audit.log(str(origin["method"]))
    seeds = sampled["hyper_rep_seed"]
    group = sample_groups(seeds, models).astype(str)
    learned = _learned(hyper_reps, curves, seeds=seeds)
    settings = json.loads(origin["settings"])
    write_arrays(
        output,
        {**audit.arrays(), "group": group, **learned},
        attributes={
            "kind": "novelty",
            "zoo": data.name,
            "method": str(origin["method"]),
            "coordinates": str(about["coordinates"]),
            "form": str(settings["options"].get("draws", "")),
            "best_of": settings["best_of"],
            DRAWING_TIME: origin.get(DRAWING_TIME, math.nan),
        },
    )


def _learned(
    hyper_reps: tuple[Path, ...],
    curves: tuple[Path, ...],
    *,
    seeds: np.ndarray,
) -> dict[str, np.ndarray]:
    """Returns what each network's hyper-representation has learned, NaN without one.

    That is R2 of training and of held-out networks at the end, in units of the layers,
    its latent size and epochs.
    """
    names = ("r2_train", "r2_held_out", "latent", "epochs")
    found = {name: np.full(len(seeds), math.nan) for name in names}
    for path, curve in zip(hyper_reps, curves, strict=True):
        _, about = read_tensors(path, kind="hyper_rep")
        settings = json.loads(about["settings"])
        last = read_curve(curve, needed=(R2_TRAINING, R2_HELD_OUT)).iloc[-1]
        sizes = settings["latent"], settings["epochs"]
        values = last[R2_TRAINING], last[R2_HELD_OUT], *sizes
        own = seeds == int(about["seed"])
        for name, value in zip(names, values, strict=True):
            found[name][own] = value
    return found


if __name__ == "__main__":
    run(main)
