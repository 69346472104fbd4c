"""What a report says of the numbers of a run, and these as LaTeX commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperreps.files.storage import DataFileError
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
