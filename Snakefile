"""Generative hyper-representations, from images to tables and figures.

Stages and their rules: rules/*.smk. Settings: config/config.yaml and methods.yaml. Every
target below can be asked for by name, for example `snakemake zoos`.
"""

from snakemake.utils import min_version

min_version("9.0")


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/datasets.smk"
include: "rules/zoos.smk"
include: "rules/imported.smk"
include: "rules/hyper_reps.smk"
include: "rules/generators.smk"
include: "rules/samples.smk"
include: "rules/finetuned.smk"
include: "rules/ensembles.smk"
include: "rules/reconstructions.smk"
include: "rules/properties.smk"
include: "rules/ablations.smk"
include: "rules/declared.smk"
include: "rules/results.smk"
include: "rules/novelty.smk"


for file in CUSTOM_RULES:

    include: file


onstart:
    require_writable()
    require_clock()
    require_font()
    record_config()
    show_estimate()


onsuccess:
    show_places()


onerror:
    show_failures(log)


# a dry run has no start
if is_dry_run():
    show_estimate()


localrules:
    all,
    datasets,
    zoos,
    hyper_reps,
    generators,
    samples,
    finetuned,
    ensembles,
    reconstructions,
    properties,
    ablations,
    tables,
    figures,
    novelty,
    significance,


rule all:
    """Makes every table and figure of the config, and their numbers for LaTeX."""
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
        rules.novelty.input,
        rules.significance.input,
        rules.values.output,
