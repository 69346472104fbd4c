import math
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from hyperreps.files.storage import DataFileError, write_arrays
from hyperreps.representation.curves import core_seconds_of
from hyperreps.results.result import Sources
from hyperreps.results.tables.compute import EqualCompute
from hyperreps.settings.stages import SettingsError
from hyperreps.zoo.members import DRAWING_TIME, EPOCH_TIME, LEARNING_TIME

from .result_files import finetuned_file

# of three networks from scratch, at epochs 0 to 4
SCRATCH = np.array(
    [[0.1, 0.2, 0.4, 0.6, 0.7], [0.1, 0.3, 0.5, 0.7, 0.8], [0.1, 0.1, 0.3, 0.8, 0.9]]
)
SAMPLED = np.array([[0.4, 0.7], [0.5, 0.8], [0.3, 0.9], [0.6, 0.6]])


def sources(folder: Path, *, times: tuple[float, ...], **changes) -> Sources:
    """A zoo of three networks, and four samples finetuned for an epoch."""
    zoo = folder / "mnist.h5"
    arrays = {"accuracy/test": SCRATCH, "split": np.array(["test"] * 3, "S")}
    write_arrays(zoo, arrays, attributes={"kind": "zoo", "zoo": "mnist"})
    told = dict(zip((DRAWING_TIME, LEARNING_TIME, EPOCH_TIME), times, strict=False))
    finetuned = finetuned_file(folder, SAMPLED.tolist(), attributes=told, **changes)
    return Sources(zoos=(zoo,), finetuned=(finetuned,), epochs=(0, 1))


def measured(table: EqualCompute, epoch: int):
    frame = table.frame()
    return frame[frame["epoch"] == epoch].set_index("measure")


def test_scratch_has_the_epochs_and_what_drawing_and_learning_took(tmp_path):
    # a network: 2 s to draw, 5 s to learn to; an epoch 3 s: two and a third of them
    found = measured(EqualCompute(sources(tmp_path, times=(8, 20, 3))), 1)
    value = found["value"]
    assert value["drawing"] == 2
    assert value["learning"] == 5
    assert value["epochs"] == pytest.approx(7 / 3)
    assert value["accuracy"] == pytest.approx(SAMPLED[:, 1].mean())
    assert value["scratch"] == pytest.approx(SCRATCH[:, 1].mean())
    # rounded up: epoch 4, not 3.33
    assert value["as_long"] == pytest.approx(SCRATCH[:, 4].mean())
    assert found["n"].eq(4).all()


def test_the_lead_has_the_errors_of_both(tmp_path):
    found = measured(EqualCompute(sources(tmp_path, times=(0, 0, 1))), 1)
    ours, theirs = SAMPLED[:, 1], SCRATCH[:, 1]
    lead = found.loc["ahead"]
    assert lead["value"] == pytest.approx(ours.mean() - theirs.mean())
    reach = math.hypot(
        *(
            scipy.stats.sem(x) * scipy.stats.t.ppf(0.975, len(x) - 1)
            for x in (ours, theirs)
        )
    )
    assert lead["ci_high"] - lead["value"] == pytest.approx(reach, rel=1e-6)
    # what would be seen in four of five runs is more than half of the interval
    assert reach < found.loc["detectable", "value"] < 2 * reach


def test_what_was_not_trained_so_long_has_its_last_epoch_and_says_so(tmp_path):
    table = EqualCompute(sources(tmp_path, times=(8, 20, 1)))
    value = measured(table, 1)["value"]
    assert value["trained"] == 4
    assert value["as_long"] == pytest.approx(SCRATCH[:, 4].mean())
    assert "(4 of 8)" in table.text(table.frame())


def test_between_evaluations_scratch_has_the_next_one(tmp_path, monkeypatch):
    """Two and a third epochs, and neither 2 nor 3 was evaluated."""
    gaps = SCRATCH.copy()
    gaps[:, 2:4] = np.nan
    monkeypatch.setattr(sys.modules[__name__], "SCRATCH", gaps)
    value = measured(EqualCompute(sources(tmp_path, times=(0, 4, 3))), 1)["value"]
    assert value["epochs"] == pytest.approx(1 / 3)
    assert value["trained"] == 4
    assert value["as_long"] == pytest.approx(SCRATCH[:, 4].mean())


@pytest.mark.parametrize("times", [(8, math.nan, 3), ()])
def test_what_networks_took_is_not_known(tmp_path, times):
    table = EqualCompute(sources(tmp_path, times=times))
    value = measured(table, 1)["value"]
    assert value[["as_long", "ahead", "trained", "detectable"]].isna().all()
    assert value["accuracy"] > 0
    (line,) = (
        row
        for row in table.text(table.frame()).split("\n\n")[1].splitlines()
        if "S_KDE30" in row
    )
    assert "—" in line
    assert " of " not in line


def test_every_form_of_the_table_has_it(tmp_path):
    table = EqualCompute(sources(tmp_path, times=(0, 0, 1)))
    frame = table.frame()
    text, latex, page = table.text(frame), table.latex(frame), table.page(frame)
    assert "MNIST, epoch 1" in text
    ahead = f"{100 * (SAMPLED[:, 1].mean() - SCRATCH[:, 1].mean()):+.1f}"
    for made in (text, latex, page):
        assert ahead in made
    # in weight space nothing is learned
    assert "S_KDE30†" in text


def test_epochs_that_no_network_has_are_named(tmp_path):
    given = sources(tmp_path, times=(0, 0, 1))
    late = Sources(zoos=given.zoos, finetuned=given.finetuned, epochs=(7,))
    with pytest.raises(SettingsError, match=r"epochs: no network has one of \[7\]"):
        EqualCompute(late).frame()


def test_what_learning_took_is_the_sum_of_all_epochs_of_all_curves(tmp_path):
    paths = [tmp_path / f"jump_seed{seed}.csv" for seed in (1, 2)]
    for path in paths:
        path.write_text("epoch,loss,core_seconds\n1,0.5,2.5\n2,0.4,3\n")
    assert core_seconds_of(paths) == 11
    assert core_seconds_of([]) == 0
    paths[1].write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(DataFileError, match=r"jump_seed2\.csv: no training curve"):
        core_seconds_of(paths)
