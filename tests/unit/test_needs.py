"""What a configuration needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperreps.config import needs
from hyperreps.config.config_files import merged, read_over_shipped
from hyperreps.config.configuration import PLAIN_FEATURES, load_settings

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize(
    ("population", "kind", "epochs"),
    [
        ("B_T30", "zoo", (0, 1, 25)),
        ("S_KDE30", "finetuned", (0, 1, 25)),
        ("S_U", "samples", (0,)),
    ],
)
def test_ensembles_are_of_finetuned_networks_where_there_are_any(
    population: str, kind: str, epochs: tuple[int, ...]
) -> None:
    paper = load_settings(read_over_shipped(CONFIG))
    assert needs.population_kind(paper, population) == kind
    assert needs.ensemble_epochs(paper, population) == epochs


def test_probes_see_the_networks_as_their_variant_does() -> None:
    aligned = {
        "hyper_rep": {"alignment": "weight_matching"},
        "properties": {"zoos": ["mnist"]},
    }
    settings = load_settings(merged(read_over_shipped(CONFIG), aligned))
    found = {
        features: needs.probe_alignment(settings, zoo, features)
        for zoo, features in needs.probes(settings)
    }
    assert found == {
        "weights": "none",
        "weights_aligned": "weight_matching",
        "statistics": "none",
        "normalized": "weight_matching",
        "baseline": "weight_matching",
    }
    assert [name for name in found if not needs.probed_variant(name)] == [
        *PLAIN_FEATURES
    ]


def test_a_judgement_brings_its_curves_to_the_audit_of_its_zoos() -> None:
    overlay = {
        "novelty": {"zoos": ["mnist", "stl10"], "methods": ["S_KDE30", "B_F30"]},
        "judgement": {
            "zoos": ["mnist"],
            "noise": ["B_F30", "relative_noise_1"],
            "soup": ["B_F30", "soup16_top30"],
            "reconstructions": ["reconstruction"],
        },
    }
    settings = load_settings(merged(read_over_shipped(CONFIG), overlay))
    curves = ("relative_noise_1", "soup16_top30", "reconstruction")
    assert settings.audited == [
        *(("mnist", name) for name in ("S_KDE30", "B_F30", *curves)),
        *(("stl10", name) for name in ("S_KDE30", "B_F30")),
    ]
    assert set(settings.audited) <= set(settings.sampled)
