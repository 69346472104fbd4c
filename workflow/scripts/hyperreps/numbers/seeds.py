"""Seeds that are functions of names and numbers, not of what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np


def derived_seed(*parts: int | str) -> int:
    """Returns a seed in [0, 2^63) that depends on every part and on their order."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def derived_rng(*parts: int | str) -> np.random.Generator:
    """Returns an rng seeded by derived_seed(*parts)."""
    return np.random.default_rng(derived_seed(*parts))
