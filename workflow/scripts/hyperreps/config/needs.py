"""What a configuration needs: zoos, hyper-representations, samples, finetuned networks.

All tables, figures and the audit are counted. The targets of the workflow and the
estimate of what a run takes both go by these lists, so that neither forgets a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..sampling.samplers import needs_generator
from ..settings.stages import SettingsError
from .configuration import PLAIN_FEATURES, ZOO_POPULATIONS, Settings, load_settings

# name of a zoo, and of a method, variant or population of it
OfZoo = tuple[str, str]
PopulationKind = Literal["zoo", "finetuned", "samples"]


class Result(NamedTuple):
    """A table or a figure of a configuration.

    Attributes:
        kind: table or figure.
        name: Of its files.
        made_by: Its class: MODULE.CLASS below results/tables or results/figures, or
            a user's, FILE.py:NAME.
        section: Key of the configuration that it is made for.
    """

    kind: str
    name: str
    made_by: str
    section: str


def results(settings: Settings) -> list[Result]:
    """Returns all tables and figures, the user's own last of their kind."""
    return [
        Result(kind, name, made_by, section)
        for kind in ("table", "figure")
        for name, made_by, section in _named(settings, kind)
    ]


def missing_results(folder: Path, config: Mapping[str, Any]) -> list[str] | str:
    """Returns the tables and figures of a configuration that a run has not come to.

    Args:
        folder: Of the run's results.
        config: Of the run, as a merged file has it.

    Returns:
        Their files below the folder, without suffix; a sentence where the settings are
        those of another version.
    """
    try:
        wanted = results(load_settings(config))
    except SettingsError:
        return "not known, as its settings are those of another version"
    names = (f"{one.kind}s/{one.name}" for one in wanted)
    return sorted(name for name in names if not (folder / f"{name}.csv").exists())


def _named(settings: Settings, kind: str) -> Iterable[tuple[str, str, str]]:
    """Yields name, class and section of all tables or figures."""
    for section, part in settings.sections.items():
        for name, made_by in getattr(part, f"{kind}s").items():
            yield name, made_by, section
    for name, own in settings.own_results.items():
        if own.kind == kind:
            yield name, own.made_by, own.section


def finetuned_networks(settings: Settings) -> list[tuple[str, str, str]]:
    """Returns source, target and method of all networks that are finetuned."""
    used = [
        (*pair, method)
        for table in settings.comparisons.values()
        if table.finetunes
        for pair in table.pairs
        for method in table.methods
    ]
    # ensembles are made of finetuned networks where there are any
    used += [
        (zoo, zoo, method)
        for zoo in settings.ensembles.zoos
        for method in settings.ensembles.methods
        if method in settings.in_distribution.methods
    ]
    return list(dict.fromkeys(used))


def samples(settings: Settings) -> list[OfZoo]:
    """Returns zoo and method of all samples."""
    return settings.sampled


def generators(settings: Settings) -> list[OfZoo]:
    """Returns zoo and method of the samples that a trained generator draws."""
    methods = settings.methods
    return [
        (zoo, name)
        for zoo, name in samples(settings)
        if needs_generator(methods[name].sampler) and not methods[name].jump
    ]


def jumps(settings: Settings) -> list[OfZoo]:
    """Returns zoo and name of all jumps, behind those that they start from."""
    named = [(zoo, settings.methods[name].jump) for zoo, name in samples(settings)]
    used = [
        pair
        for zoo, jump in named
        if jump
        for pair in (settings.jump_of(jump).pretrained, (zoo, jump))
        if pair
    ]
    return list(dict.fromkeys(used))


def hyper_reps(settings: Settings) -> list[OfZoo]:
    """Returns zoo and variant of all hyper-representations."""
    used = [
        (zoo, settings.methods[method].hyper_rep) for zoo, method in samples(settings)
    ]
    for part in (settings.reconstruction, settings.properties, settings.ablation):
        used += [(zoo, variant) for zoo in part.zoos for variant in part.variants]
    return [pair for pair in dict.fromkeys(used) if pair[1]]


def zoos(settings: Settings) -> list[str]:
    """Returns the names of all zoos."""
    tables = settings.comparisons.values()
    used = [zoo for table in tables for pair in table.pairs for zoo in pair]
    for part in (
        settings.ensembles,
        settings.reconstruction,
        settings.properties,
        settings.ablation,
        settings.novelty,
    ):
        used += part.zoos
    used += [zoo for zoo, _ in jumps(settings)]
    return list(dict.fromkeys(used))


def aligned_zoos(settings: Settings) -> list[str]:
    """Returns the names of the zoos that are also needed in aligned coordinates."""
    used = [
        zoo
        for zoo, variant in hyper_reps(settings)
        if settings.variant(variant, zoo=zoo).alignment != "none"
    ]
    used += [
        zoo
        for zoo, method in samples(settings)
        if method_alignment(settings, zoo, method) != "none"
    ]
    return list(dict.fromkeys(used))


def method_alignment(settings: Settings, zoo: str, name: str) -> str:
    """Returns the coordinates that a method draws in: those of its variant, if any."""
    method = settings.methods[name]
    if not method.hyper_rep:
        return method.alignment
    return settings.variant(method.hyper_rep, zoo=zoo).alignment


def probes(settings: Settings) -> list[OfZoo]:
    """Returns zoo and inputs of all probes: weights, their statistics, variants."""
    wanted = settings.properties
    return [pair for zoo in wanted.zoos for pair in _probes_of(settings, zoo)]


def probed_variant(features: str) -> str:
    """Returns the variant whose latents are probed; empty: plain features."""
    return "" if features in PLAIN_FEATURES else features


def probe_alignment(settings: Settings, zoo: str, features: str) -> str:
    """Returns the coordinates of the networks that are probed."""
    if probed_variant(features):
        return settings.variant(features, zoo=zoo).alignment
    return "weight_matching" if features == "weights_aligned" else "none"


def _probes_of(settings: Settings, zoo: str) -> Iterable[OfZoo]:
    names = settings.properties.variants
    variants = [settings.variant(name, zoo=zoo) for name in names]
    aligned = any(variant.alignment != "none" for variant in variants)
    for features in (*PLAIN_FEATURES, *names):
        if aligned or features != "weights_aligned":
            yield zoo, features


def ensembles(settings: Settings) -> list[OfZoo]:
    """Returns zoo and population of all ensembles, the zoos' own networks too."""
    wanted = settings.ensembles
    return [
        (zoo, population)
        for zoo in wanted.zoos
        for population in ZOO_POPULATIONS + wanted.methods
    ]


def population_kind(settings: Settings, population: str) -> PopulationKind:
    """Returns what the networks are that ensembles of a population are made of."""
    if population in ZOO_POPULATIONS:
        return "zoo"
    finetuned = population in settings.in_distribution.methods
    return "finetuned" if finetuned else "samples"


def ensemble_epochs(settings: Settings, population: str) -> tuple[int, ...]:
    """Returns the epochs at which ensembles of a population are evaluated."""
    samples_only = population_kind(settings, population) == "samples"
    return (0,) if samples_only else settings.ensembles.epochs


def reconstructions(settings: Settings) -> list[OfZoo]:
    """Returns zoo and variant of all networks that are reconstructed."""
    wanted = settings.reconstruction
    return [(zoo, variant) for zoo in wanted.zoos for variant in wanted.variants]


def ablations(settings: Settings) -> list[OfZoo]:
    """Returns zoo and variant of all that stand side by side in the ablation."""
    wanted = settings.ablation
    return [(zoo, variant) for zoo in wanted.zoos for variant in wanted.variants]


def audit_references(settings: Settings) -> list[OfZoo]:
    """Returns zoo and coordinates of the references that audits are read by."""
    return list(
        dict.fromkeys(
            (zoo, method_alignment(settings, zoo, method))
            for zoo, method in settings.audited
        )
    )
