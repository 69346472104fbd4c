"""Hands out networks, or a hyper-representation, as files that others read."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from hyperreps.representation.autoencoder import load
from hyperreps.representation.describe import describe
from hyperreps.running.commands import run
from hyperreps.settings.stages import SettingsError
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
            hyper-representation (.safetensors, its curve beside it).
        output: Folder to make; it must not exist.
        epoch: Which of their training; none: the last of a zoo's window, or of a
            finetuning. Samples have epoch 0.
        networks: Which rows of the file; none: all that are sound.
        forms: safetensors or state_dict: one file per network; stacked: one for all.
        images: Whether the test images come along, so that the folder is enough to
            evaluate the networks.
        zoo: File of the zoo that they were made from, or finetuned for, or that it was
            trained on; none: where the workflow keeps it.
        dataset: File of the images that they were evaluated on; none: as before.
    """
    if file.suffix == ".safetensors":
        if epoch or networks or dataset or images:
            raise SettingsError(
                "--epoch, --networks, --images and --dataset: not of a"
                " hyper-representation; leave them out"
            )
        model = load(file, device=torch.device("cpu"))
        trained_on = describe(file, zoo=model.zoo, file=zoo)
        model.to_folder(output, trained_on=trained_on)
        logging.info("%s: hyper-representation of zoo %s", output, model.zoo)
        return
    chosen = choose(file, epochs=epoch, rows=networks)
    judged = evaluation(file, chosen, zoo=zoo, dataset=dataset)
    exporting.to_folder(chosen, output, evaluation=judged, forms=forms, images=images)
    logging.info("%s: %d networks", output, len(chosen.row))


if __name__ == "__main__":
    run(main)
