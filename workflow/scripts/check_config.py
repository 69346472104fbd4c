"""Says what is wrong with a configuration: YAML by file and line, settings by key."""

from pathlib import Path

import tyro

from hyperreps.config.config_files import merged, read_config
from hyperreps.config.configuration import load_settings
from hyperreps.running.commands import run

BASE = Path(__file__).parents[2] / "config" / "config.yaml"


def main(overlays: tyro.conf.Positional[tuple[Path, ...]]) -> None:
    """Checks config/config.yaml with overlays over it.

    Args:
        overlays: Files, in the order in which they are given to --configfile.
    """
    config = merged(*(read_config(path) for path in (BASE, *overlays)))
    settings = load_settings(config)
    print(f"experiment {settings.experiment}: nothing is wrong with its settings")


if __name__ == "__main__":
    run(main)
