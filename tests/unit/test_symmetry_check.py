"""What check_symmetry computes, against what architectures declare."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hyperreps as hr
from hyperreps.symmetry.permutations import sign_axes


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", hr.ARCHITECTURES)
def test_what_is_declared_holds(name, activation):
    network = hr.build(name, channels=1)
    checks = hr.check_symmetry(network, activation=activation)
    assert [check.axis for check in checks] == list(network.symmetric_axes)
    assert all(check.permutes for check in checks)
    declared = set(sign_axes(network, activation))
    flips = {check.axis for check in checks if check.flips}
    # declarations leave out the flips of sums, some of which hold
    assert flips == declared if name == "cnn" else flips >= declared
    assert flips if activation == "tanh" else not flips


def test_a_wrong_declaration_is_caught():
    network = hr.build("cnn", channels=1)
    first, second, *rest = network.weighted
    # as if the second layer's inputs stayed where they are
    wrong = (first, replace(second, inputs_axis=None), *rest)
    broken = hr.build("cnn", channels=1)
    broken.__dict__["weighted"] = wrong
    found = {c.axis: c for c in hr.check_symmetry(broken, activation="tanh")}
    assert not found["conv1"].permutes
    assert found["conv2"].permutes
