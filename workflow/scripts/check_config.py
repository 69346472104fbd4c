"""Says what is wrong with a configuration: YAML by file and line, settings by key."""

from pathlib import Path

import tyro

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.configuration import (
    check_own_networks,
    custom_rules,
    load_settings,
)
from hyperreps.running.commands import run

CONFIG = Path(__file__).parents[2] / "config"


def main(overlays: tyro.conf.Positional[tuple[Path, ...]]) -> None:
    """Checks config/config.yaml and config/methods.yaml with overlays over them.

    Args:
        overlays: Files, in the order in which they are given to --configfile.
    """
    settings = load_settings(read_over_shipped(CONFIG, *overlays))
    custom_rules(settings)
    check_own_networks(settings)
    print(f"experiment {settings.experiment}: nothing is wrong with its settings")


if __name__ == "__main__":
    run(main)
