"""What a report says of the numbers of a run, and these as LaTeX commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from hyperreps.audit.significance import detectable_by, detectable_difference
from hyperreps.files.storage import DataFileError
from hyperreps.numbers.statistics import Estimate, Part
from hyperreps.results.report import NOTHING, _figures, claims
from hyperreps.results.values import latex_values

ACCURACIES = """source,target,method,epoch,n,mean,ci_low,ci_high
svhn,mnist,S_KDE30,5,50,0.4567,0.4,0.5
mnist,mnist,B_T,0,30,0.1,,
"""
RECONSTRUCTION = """zoo,variant,split,quantity,layer,networks,mean,ci_low,ci_high
mnist,normalized,test,r2,all,30,0.756,0.7,0.8
mnist,normalized,train,r2,all,30,0.9,0.8,0.95
"""
NOVELTY = """zoo,coordinates,population,measure,n,groups,value,ci_low,ci_high
mnist,none,S_KDE30,training_over_unseen,50,5,1.02,0.98,1.06
mnist,weight_matching,S_KDE30,new_by_runs,50,5,0.25,0.1,0.4
"""


class TestValues:
    """Numbers as LaTeX commands."""

    def test_all_numbers_have_their_names(self, tmp_path: Path) -> None:
        paths = []
        for name, text in (
            ("transfer", ACCURACIES),
            ("reconstruction", RECONSTRUCTION),
            ("novelty", NOVELTY),
        ):
            paths.append(tmp_path / f"{name}.csv")
            paths[-1].write_text(text)
        lines = latex_values(paths).splitlines()
        mark = r"\expandafter\newcommand\csname hyper/"
        found = dict(
            line.removeprefix(mark).removesuffix("}").split(r"\endcsname{")
            for line in lines
            if line.startswith(mark)
        )
        assert found == {
            "transfer/svhn-mnist/S_KDE30/5": "45.7",
            "transfer/svhn-mnist/S_KDE30/5/low": "40.0",
            "transfer/svhn-mnist/S_KDE30/5/high": "50.0",
            "transfer/svhn-mnist/S_KDE30/5/n": "50",
            "transfer/mnist/B_T/0": "10.0",
            "transfer/mnist/B_T/0/n": "30",
            "reconstruction/mnist/normalized/r2": "0.76",
            "reconstruction/mnist/normalized/r2/low": "0.70",
            "reconstruction/mnist/normalized/r2/high": "0.80",
            "reconstruction/mnist/normalized/r2/n": "30",
            "novelty/mnist/S_KDE30/training_over_unseen": "1.020",
            "novelty/mnist/S_KDE30/training_over_unseen/low": "0.980",
            "novelty/mnist/S_KDE30/training_over_unseen/high": "1.060",
            "novelty/mnist/S_KDE30/training_over_unseen/n": "50",
            "novelty/mnist-aligned/S_KDE30/new_by_runs": "0.250",
            "novelty/mnist-aligned/S_KDE30/new_by_runs/low": "0.100",
            "novelty/mnist-aligned/S_KDE30/new_by_runs/high": "0.400",
            "novelty/mnist-aligned/S_KDE30/new_by_runs/n": "50",
        }

    @pytest.mark.parametrize("text", ["", "seed,accuracy\n1,0.5\n", "a\n1\n2,3,4\n"])
    def test_what_is_no_table_is_named(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "novelty.csv"
        path.write_text(text)
        with pytest.raises(DataFileError, match=r"novelty\.csv: not the numbers"):
            latex_values([path])


MEANS = """target,method,epoch,reference,n,groups,mean,ci_low,ci_high,published_mean,\
published_std
mnist,S_KDE30,0,False,50,5,0.7,0.68,0.72,0.69,0.1
mnist,S_KDE30,1,False,50,5,0.8,0.79,0.81,0.9,0.01
mnist,S_KDE30,5,False,50,5,0.85,0.84,0.86,,
mnist,noise_top30,5,False,50,5,0.85,0.84,0.86,,
mnist,mean_top30,0,True,1,1,0.9,,,,
mnist,B_F30,0,False,1,1,0.9,,,0.9,0.01
"""
PAIRS = """target,epoch,method,other,observations,observations_other,unit,difference,\
ci_low,ci_high,verdict,detectable
mnist,0,S_KDE30,B_KDE30,5,5,group,0.1,0.05,0.15,different,0.07
mnist,0,S_KDE30,B_F30,5,5,group,0.1,0.05,0.15,different,0.07
mnist,1,S_KDE30,B_KDE30,5,5,group,0.05,0.02,0.08,different,0.07
mnist,5,S_KDE30,B_KDE30,5,5,group,0.001,-0.03,0.03,undecided,0.0412
mnist,0,S_U,B_U,1,1,network,0.001,,,undecided,
"""
RATIOS = """zoo,population,reference,measure,n,groups,value,ci_low,ci_high
mnist,S_KDE30,False,training_over_unseen,50,5,0.98,0.91,1.05
mnist,S_KDE30,False,new_by_runs,50,5,0.9,0.8,1.0
mnist,B_KDE30,False,training_over_unseen,50,5,0.6,0.5,0.7
mnist,S_U,False,training_over_unseen,50,2,0.9,0.0,1.8
mnist,mean_top30,False,training_over_unseen,1,1,0.9,,
mnist,soup,True,training_over_unseen,1,1,0.9,,
"""


def test_a_figure_of_ones_own_has_its_caption(tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    for name in ("spread", "plain", "wrong", "zoo"):
        Image.new("RGB", (300, 200)).save(folder / f"{name}.png")
    captions = {"spread": "All *accuracies* & no {{ brace", "wrong": "``x"}
    own = {name: {"caption": text} for name, text in captions.items()}
    config = {"own_results": {**own, "plain": {}}}
    (tmp_path / "figure_zoo.rst").write_text("Ours, seed {{ snakemake.config.seed }}.")
    found = {
        part.name: part.caption
        for part in _figures(tmp_path, tmp_path, {**config, "seed": 3})
    }
    assert found["spread"].strip() == (
        "<p>All <em>accuracies</em> &amp; no {{ brace</p>"
    )
    assert found["plain"] == ""
    assert "Inline literal start-string without end-string" in found["wrong"]
    assert found["zoo"].strip() == "<p>Ours, seed 3.</p>"


class TestClaims:
    """What the report says first."""

    def said(self, tmp_path: Path, name: str, text: str) -> dict[str, tuple[str, str]]:
        """Returns verdict and what would have been seen, by quantity."""
        (tmp_path / f"{name}.csv").write_text(text)
        found = claims(tmp_path, confidence=0.95)
        return {claim.what: (claim.verdict, claim.seen) for claim in found}

    def test_published_numbers(self, tmp_path: Path) -> None:
        name = "accuracy of S<sub>KDE30</sub>, epoch"
        said = self.said(tmp_path, "in_distribution", MEANS)
        # a difference of 1.43 times the interval's reach is found in 4 of 5 runs
        assert said == {
            f"{name} 0": ("published 69.0%: inside", "2.9 points"),
            f"{name} 5": ("nothing published", "—"),
            "accuracy of noise_top30, epoch 5": ("—", "—"),
            "accuracy of B<sub>F30</sub>, epoch 0": (
                "published 90.0%; no interval",
                NOTHING,
            ),
        }

    def test_what_lies_outside_says_by_how_much(self, tmp_path: Path) -> None:
        later = MEANS.replace("S_KDE30,5", "S_U,5")
        said = self.said(tmp_path, "in_distribution", later)
        assert said["accuracy of S<sub>KDE30</sub>, epoch 1"] == (
            "published 90.0%: outside by 9.0 points",
            "—",
        )

    def test_what_normalisation_changes(self, tmp_path: Path) -> None:
        name = "accuracy of S<sub>KDE30</sub> over B<sub>KDE30</sub> in points, epoch"
        assert self.said(tmp_path, "significance_in_distribution", PAIRS) == {
            f"{name} 0": ("different", "—"),
            f"{name} 5": ("undecided", "4.1 points"),
            "accuracy of S<sub>U</sub> over B<sub>U</sub> in points, epoch 0": (
                "undecided",
                NOTHING,
            ),
        }

    def test_what_is_not_shown_to_be_derived(self, tmp_path: Path) -> None:
        name = "distance to training / to unseen runs, "
        not_shown = "not shown to be derived"
        assert self.said(tmp_path, "novelty", RATIOS) == {
            f"{name}S<sub>KDE30</sub>": (not_shown, "copies among them, from 10% on"),
            f"{name}B<sub>KDE30</sub>": ("derived from training", "—"),
            f"{name}S<sub>U</sub>": (not_shown, NOTHING),
            f"{name}mean_top30": (not_shown, NOTHING),
        }


@pytest.mark.parametrize("freedom", [1.0, 2.0, 4.0, 30.0, 1e4])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_an_interval_alone_bounds_what_is_detectable(
    freedom: float, confidence: float
) -> None:
    difference = Estimate(0.1, (Part(0.01**2, freedom),), int(freedom) + 1)
    known = detectable_difference(difference, confidence=confidence)
    reach = difference.reach(confidence)
    bound = detectable_by(reach, confidence=confidence)
    assert known * 0.999 < bound < 1.2 * known
    if freedom > 1000:
        assert bound == pytest.approx(known, rel=1e-3)
