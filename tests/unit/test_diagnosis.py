"""The figures of docs/diagnose.md: which variants stand where, of which numbers."""

from __future__ import annotations

import pytest
from bench import diagnosis
from bench.diagnosis import CURVES, drawn_from, main, points


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_has_the_variants_of_its_setting_in_order(name: str) -> None:
    places = list(points(CURVES[name]).index)
    assert places == sorted(places, key=diagnosis.rank)
    assert len(places) == len(set(places)) > 1
    ends = {"permutations": ("none", "all"), "alignment": ("permuted", "aligned")}
    if name in ends:
        assert (places[0], places[-1]) == ends[name]


def test_numbers_are_those_of_the_variant_that_has_the_setting() -> None:
    table = diagnosis.measured(diagnosis.MNIST)
    drawn = points(CURVES["latent"])
    for place, variant in ((64, "latent_64"), (1400, "normalized")):
        known = table.loc[variant, "r2_held_out"]
        assert drawn.loc[place, "r2_held_out"] == known


def test_figures_are_of_the_numbers_that_there_are() -> None:
    main(check=True)


def test_a_figure_of_other_numbers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "digest", lambda: "another")
    with pytest.raises(SystemExit, match=r"diagnose_accuracy\.png.*run make numbers"):
        main(check=True)
    assert drawn_from(diagnosis.MEASURED / "nothing.png") is None
