"""Audits the samples of one method: how far they are from the training networks."""

import json
from pathlib import Path
from typing import Annotated

from hyperreps.audit.auditor import Candidates, auditor_for
from hyperreps.data.images import read_images
from hyperreps.files.storage import DataFileError, read_arrays, write_arrays
from hyperreps.representation.describe import learned
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
    audit = auditor(Candidates.of_samples(sampled, samples))
    audit.log(str(origin["method"]))
    seeds, settings = sampled["hyper_rep_seed"], json.loads(origin["settings"])
    write_arrays(
        output,
        {
            **audit.arrays(),
            "group": sample_groups(seeds, sampled["source_model"]).astype(str),
            **learned(hyper_reps, curves, seeds=seeds),
        },
        attributes={
            "kind": "novelty",
            "zoo": data.name,
            "method": str(origin["method"]),
            "coordinates": str(about["coordinates"]),
            "form": str(settings["options"].get("draws", "")),
            "best_of": settings["best_of"],
            DRAWING_TIME: origin.get(DRAWING_TIME, float("nan")),
        },
    )


if __name__ == "__main__":
    run(main)
