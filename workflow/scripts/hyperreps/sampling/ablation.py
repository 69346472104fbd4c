"""What an ablation asks of a hyper-representation: its networks, and whence they are.

Two populations are reconstructions, of networks that it was trained on and of others
that nothing has seen; two are samples by the sampler of S_KDE30, in both of its forms.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..numbers.shapes import Float
from ..settings.stages import Method
from ..symmetry.matching import Matcher, pair_distances

POPULATIONS: Mapping[str, Method] = {
    "training": Method(sampler="identity", epochs="last"),
    "held_out": Method(sampler="identity", split="test", epochs="last"),
    **{
        draws: Method(
            sampler="kde", top=0.3, options={"bandwidth": 0.002, "draws": draws}
        )
        for draws in ("released", "independent")
    },
}


def independent_distance(
    weights: Float[np.ndarray, "models parameters"], *, matcher: Matcher
) -> float:
    """Returns the median L2 distance of two networks of different runs, matched.

    Args:
        weights: One network of each run.
        matcher: Brings networks as near as permutations and signs can.
    """
    return float(np.nanmedian(pair_distances(matcher, weights)))
