"""Tables and figures that the config declares: which there are, and what each takes.

Sections of the config name them (settings/sections.py); a class in results/tables or
results/figures makes each. The rules are in results.smk.
"""

RESULTS = needs.results(SETTINGS)
SUFFIXES = {"table": ("csv", "tex", "html"), "figure": ("pdf", "png", "csv")}
# targets of their own
AUDITED = ("novelty", "judgement", "capacity")
AUDIT = [result for result in RESULTS if result.section in AUDITED]
SIGNIFICANCE = [r for r in RESULTS if r.made_by == "significance.Significance"]
# whose numbers are commands in values.tex
VALUES = [
    result
    for result in RESULTS
    if result.kind == "table"
    and result.made_by
    in ("accuracies.Accuracies", "reconstruction.Reconstruction", "novelty.Novelty")
]
REST = [result for result in RESULTS if result not in AUDIT + SIGNIFICANCE]
# what the results of a section with a stage of its own are made from
STAGES = {
    "ensembles": ENSEMBLES,
    "reconstruction": RECONSTRUCTIONS,
    "properties": PROBES,
    "ablation": ABLATIONS,
}


def result_file(result, suffix):
    """Returns the path of one file of a table or figure."""
    return f"<results>/{result.kind}s/{result.name}.{suffix}"


def result_files(results):
    """Returns the paths of all files of tables and figures."""
    return [result_file(r, suffix) for r in results for suffix in SUFFIXES[r.kind]]


def get_compared(section):
    """Returns the populations of a table of accuracies, by flag."""
    sources = dict.fromkeys(source for source, _ in section.pairs)
    targets = dict.fromkeys(target for _, target in section.pairs)
    finetuned = [
        f"<results>/finetuned/{source}-{target}/{method}.h5"
        for source, target in section.pairs
        for method in section.methods
    ]
    return {
        "zoos": expand("<results>/zoos/{zoo}.h5", zoo=targets),
        "finetuned": finetuned if section.finetunes else [],
        "samples": [] if section.finetunes else get_samples(sources, section.methods),
        "references": get_samples(sources, section.references),
        "published": PUBLISHED,
    }


def curves_behind(section):
    """Returns the training curves of what the methods of a comparison sample from."""
    curves = [
        curve
        for source in dict.fromkeys(source for source, _ in section.pairs)
        for method in (*section.methods, *section.references)
        for curve in get_curves(source, SETTINGS.methods[method].hyper_rep)
    ]
    return list(dict.fromkeys(curves))


def get_sources(result):
    """Returns the files that a table or figure is made from, by flag."""
    section = SETTINGS.sections[result.section]
    if result in AUDIT:
        references, audits = (
            [pair for pair in pairs if pair[0] in section.zoos]
            for pairs in (needs.audit_references(SETTINGS), SETTINGS.audited)
        )
        found = {
            "references": [zoo_file(*pair, stage="novelty") for pair in references],
            "audits": files_of("novelty", audits),
        }
    elif result.section in SETTINGS.comparisons:
        found = get_compared(section)
        if result.kind == "table" and result not in SIGNIFICANCE:
            found["curves"] = curves_behind(section)
    else:
        found = {"inputs": STAGES[result.section], "published": PUBLISHED}
    read = section.reads.get(result.made_by, found)
    return {flag: files for flag, files in found.items() if files and flag in read}


def result_flags(result):
    """Returns which table or figure it is and the settings it depends on, as flags."""
    section = SETTINGS.sections[result.section]
    own = is_own(result.made_by)
    named = {"figure": result.name} if result.kind == "figure" else {}
    named["table"] = result.section if own or named else result.name
    if own:
        named["made_by"] = result.made_by
    if result.kind == "figure":
        named["figures"] = SETTINGS.figures
    return flags(
        **named,
        **{flag: getattr(section, key) for flag, key in section.shown.items()},
        statistics=SETTINGS.statistics,
        seed=SETTINGS.seed,
    )


def result_code(result):
    """Returns the hash of what makes a table or figure: script, class, given numbers."""
    published = [PUBLISHED] if "published" in get_sources(result) else []
    if is_own(result.made_by):
        made_by = {"own": lambda wildcards: [result.made_by]}
    else:
        name = result.made_by.partition(".")[0]
        made_by = {"modules": [f"results/{result.kind}s/{name}.py"]}
    return fingerprint(f"make_{result.kind}.py", *published, **made_by)


def result_outputs(result):
    """Returns the files of a table or figure by suffix."""
    return {suffix: result_file(result, suffix) for suffix in SUFFIXES[result.kind]}
