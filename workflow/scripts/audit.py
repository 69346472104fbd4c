"""Audits the samples of one method: how far they are from the training networks."""

from pathlib import Path
from typing import Annotated

import numpy as np

from hyperreps.audit.auditor import Candidates, auditor_for
from hyperreps.data.images import read_images
from hyperreps.files.storage import DataFileError, read_arrays, write_arrays
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.zoo.members import sample_groups
from hyperreps.zoo.zoos import read_zoo


def main(
    *,
    zoo: Path,
    dataset: Path,
    references: Path,
    samples: Path,
    output: Path,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Writes novelty/{zoo}/{method}.h5.

    Args:
        zoo: The zoo the samples were learned from, in the same coordinates.
        dataset: Prepared images; answers to the test images are compared.
        references: File of audit_references.py for this zoo.
        samples: samples/{zoo}/{method}.h5.
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
    group = sample_groups(sampled["hyper_rep_seed"], models).astype(str)
    write_arrays(
        output,
        {**audit.arrays(), "group": group},
        attributes={
            "kind": "novelty",
            "zoo": data.name,
            "method": str(origin["method"]),
            "coordinates": str(about["coordinates"]),
        },
    )


if __name__ == "__main__":
    run(main)
