"""Hands out networks, or a hyper-representation, as files that others read."""

from __future__ import annotations

import logging
from pathlib import Path

from hyperreps.running.commands import run
from hyperreps.zoo import exporting
from hyperreps.zoo.exporting import Form, choose, evaluation


def main(
    *,
    file: Path,
    output: Path,
    epoch: tuple[int, ...] = (),
    networks: tuple[int, ...] = (),
    forms: tuple[Form, ...] = ("safetensors",),
    images: bool = False,
    zoo: Path | None = None,
    dataset: Path | None = None,
) -> None:
    """Makes a folder of plain tensors and a file that says what they are.

    docs/own_zoo.md describes it.

    Args:
        file: Of a zoo, of samples, of finetuned networks (.h5), or of a
            hyper-representation (.safetensors).
        output: Folder to make; it must not exist.
        epoch: Which of their training; none: the last of a zoo's window, or of a
            finetuning. Samples have epoch 0.
        networks: Which rows of the file; none: all that are sound.
        forms: safetensors or state_dict: one file per network; stacked: one for all.
        images: Whether the test images come along, so that the folder is enough to
            evaluate the networks.
        zoo: File of the zoo that networks were made from, or finetuned for; none:
            where the workflow keeps it.
        dataset: File of the images that they were evaluated on; none: as before.
    """
    chosen = choose(file, epochs=epoch, rows=networks)
    judged = evaluation(file, chosen, zoo=zoo, dataset=dataset)
    exporting.to_folder(chosen, output, evaluation=judged, forms=forms, images=images)
    logging.info("%s: %d networks", output, len(chosen.row))


if __name__ == "__main__":
    run(main)
