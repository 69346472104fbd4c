"""The estimate of a configuration, corrected by those of its jobs that have ended here.

No torch in here: the Snakefile prints it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from .costs import Jobs, Work

DONE = re.compile(r"done: ([\d.]+) s of CPU time$")
ENOUGH = 60.0  # seconds of CPU time, below which nothing is concluded


class Corrected(NamedTuple):
    """What jobs that have ended say of the whole.

    Attributes:
        jobs: How many have ended.
        ratio: CPU time that they took, over the estimated.
        core_hours: Of all jobs of the configuration, ended or not.
    """

    jobs: int
    ratio: float
    core_hours: float


def seconds_of_ended(logs: Path, jobs: Jobs) -> list[float]:
    """Returns the CPU time of each job that has ended, by the last line of its log.

    Args:
        logs: logs/<experiment>.
        jobs: Whose logs are read; other jobs have none there.
    """
    lasts = (
        path.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2]
        for path in sorted(logs.glob(jobs.logs))
    )
    return [float(found[1]) for last in lasts if (found := DONE.search(last))]


def corrected(work: Work, logs: Path) -> Corrected | None:
    """Corrects the estimate of a configuration, rule by rule.

    Rules of which no job has ended are taken to be off as all others together. Jobs
    on an unknown number of images are left out, as of the estimate.

    Args:
        work: The configuration's.
        logs: logs/<experiment>.

    Returns:
        None if what has ended took less than a minute.
    """
    number = 0
    # seconds: of all jobs of a rule, of the ended ones, and what those took
    whole, estimated, taken = (defaultdict[str, float](float) for _ in range(3))
    for jobs in work.jobs():
        if not jobs.number or math.isnan(jobs.seconds):
            continue
        whole[jobs.rule] += jobs.seconds
        ended = seconds_of_ended(logs, jobs)
        # a config that had more of them has left logs, too
        number += min(len(ended), jobs.number)
        estimated[jobs.rule] += jobs.seconds * len(ended) / jobs.number
        taken[jobs.rule] += sum(ended)
    if sum(taken.values()) < ENOUGH:
        return None
    overall = sum(taken.values()) / sum(estimated.values())
    ratios = {k: taken[k] / estimated[k] if taken[k] else overall for k in whole}
    seconds = sum(whole[rule] * ratio for rule, ratio in ratios.items())
    return Corrected(number, overall, seconds / 3600)
