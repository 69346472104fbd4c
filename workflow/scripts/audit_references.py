"""Audits the references of a zoo: populations whose novelty is known."""

import json
from pathlib import Path

import numpy as np

from hyperreps.commands import run
from hyperreps.devices import prepare_device
from hyperreps.evaluations import sample_groups
from hyperreps.novelty import auditor_for, log_audit, references
from hyperreps.population import Images
from hyperreps.settings import Novelty
from hyperreps.storage import read_arrays, write_arrays
from hyperreps.zoos import read_zoo


def main(
    *,
    zoo: Path,
    dataset: Path,
    settings: Novelty,
    output: Path,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Writes novelty/{zoo}.h5: answers of the training networks, audited references.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        dataset: Prepared images; answers to the test images are compared.
        settings: Number and kind of references; zoos and methods are not used.
        output: HDF5 file to write.
        seed: Base seed of the references.
        device: Where answers are computed: auto, cpu or cuda.
        threads: CPU threads.
    """
    place = prepare_device(device, threads=threads)
    data = read_zoo(zoo)
    _, attributes = read_arrays(zoo, "seed", kind="zoo")
    arrays, about = read_arrays(dataset, kind="dataset")
    mean, std = (json.loads(about[name]) for name in ("mean", "std"))
    test = Images.by_split(arrays, mean=mean, std=std, device=place)["test"]
    count = settings.images
    images = test._replace(pixels=test.pixels[:count], labels=test.labels[:count])
    auditor = auditor_for(data, images)
    found: dict[str, np.ndarray] = {"predictions": auditor.corpus.predictions}
    names = []
    for name, population in references(data, settings, seed=seed):
        audit = auditor(population)
        log_audit(name, audit)
        sources = population.sources
        nobody = np.full(len(sources), -1)
        single = sources[:, 0] if sources.shape[1] == 1 else sources
        audit["group"] = sample_groups(nobody, single).astype(str)
        found |= {f"{name}/{key}": values for key, values in audit.items()}
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
