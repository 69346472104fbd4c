"""The command of the installed library: hyperreps check-symmetry NAME."""

from __future__ import annotations

from collections.abc import Iterable

import tyro

from .engines.grouped import ACTIVATIONS
from .engines.symmetry_check import (
    AxisCheck,
    check_sequential,
    check_symmetry,
    plain_network,
    refuted,
)
from .networks.architectures import build
from .running.commands import check_choice, run
from .settings.stages import SettingsError


def show_symmetry(
    architecture: tyro.conf.Positional[str],
    *,
    channels: int = 1,
    activation: str = "tanh",
    seed: int = 0,
) -> None:
    """Says which permutations and sign flips of units leave a network's function alone.

    Ends with an error where one does not that the architecture declares.

    Args:
        architecture: A declared one, such as cnn, or your own, FILE.py:NAME: declared,
            or a torch.nn.Sequential, which declares nothing and has its activations.
        channels: Of its images.
        activation: Of a declared network.
        seed: Of the random networks and images that are compared.
    """
    check_choice("activation", activation, ACTIVATIONS, module="grouped.py")
    if plain := plain_network(architecture, channels=channels):
        _show(check_sequential(plain, channels=channels, seed=seed))
        return
    network = build(architecture, channels=channels)
    checks = check_symmetry(network, activation=activation, seed=seed)
    _show(checks)
    if wrong := [*refuted(network, checks, activation=activation)]:
        raise SettingsError("; ".join(wrong))


def _show(checks: Iterable[AxisCheck]) -> None:
    print(f"{'axis':10} {'units':>5}  {'permuted':16} {'flipped in sign':16}")
    for check in checks:
        found = (
            f"{'unchanged' if same else 'changed'} ({change:.0e})"
            for same, change in (
                (check.permutes, check.permutation),
                (check.flips, check.sign),
            )
        )
        print(f"{check.axis:10} {check.units:5}  {next(found):16} {next(found):16}")


def main() -> None:
    """Runs the command that the command line names."""
    run({"check-symmetry": show_symmetry})


if __name__ == "__main__":
    main()
