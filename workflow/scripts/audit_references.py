"""Audits the references of a zoo: populations whose novelty is known."""

from pathlib import Path
from typing import Annotated

import numpy as np

from hyperreps.audit.auditor import auditor_for
from hyperreps.audit.references import references
from hyperreps.data.images import read_images
from hyperreps.files.storage import read_arrays, write_arrays
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.settings.sections import Novelty
from hyperreps.zoo.members import sample_groups
from hyperreps.zoo.zoos import read_zoo


def main(
    *,
    zoo: Path,
    dataset: Path,
    settings: Novelty,
    output: Path,
    seed: int = 0,
    weight_threshold: float = np.inf,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Writes novelty/{zoo}.h5: answers of the training networks, audited references.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        dataset: Prepared images; answers to the test images are compared.
        settings: Number and kind of references; zoos and methods are not used.
        output: HDF5 file to write.
        seed: Base seed of the references.
        weight_threshold: Networks with a larger absolute weight are left out where
            references are made from the best ones.
        machine: Where it computes.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    _, attributes = read_arrays(zoo, "seed", kind="zoo")
    images = read_images(dataset).on(place)["test"].first(settings.images)
    auditor = auditor_for(data, images)
    found: dict[str, np.ndarray] = {"predictions": auditor.corpus.predictions}
    names = []
    for name, candidates in references(
        data, settings, seed=seed, weight_threshold=weight_threshold
    ):
        audit = auditor(candidates)
        audit.log(name)
        sources = candidates.sources
        nobody = np.full(len(sources), -1)
        single = sources[:, 0] if sources.shape[1] == 1 else sources
        group = sample_groups(nobody, single).astype(str)
        arrays = {**audit.arrays(), "group": group}
        found |= {f"{name}/{key}": values for key, values in arrays.items()}
        names.append(name)
    write_arrays(
        output,
        found,
        attributes={
            "kind": "novelty_references",
            "zoo": data.name,
            "coordinates": str(attributes.get("alignment", "none")),
            "populations": names,
            "settings": settings.model_dump(),
        },
    )


if __name__ == "__main__":
    run(main)
