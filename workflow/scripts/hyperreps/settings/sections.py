"""The sections of a configuration that each make a table, its figures or the audit."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .limits import (
    MOST,
    Count,
    Epoch,
    Increasing,
    Listed,
    Name,
    Names,
    OwnPart,
    Positive,
    Text,
)
from .stages import Strict


class Section(Strict):
    """A part of the configuration that tables and figures are made for.

    Attributes:
        tables: Class of each table by its name: MODULE.CLASS below results/tables.
        figures: Class of each figure by its name: MODULE.CLASS below results/figures.
        shown: Keys that these classes are told, by the flag that tells them.
        reads: Flags of the files that a class reads, where it does not read all that
            there are for its section.
    """

    tables: ClassVar[dict[str, str]] = {}
    figures: ClassVar[dict[str, str]] = {}
    shown: ClassVar[dict[str, str]] = {}
    reads: ClassVar[dict[str, tuple[str, ...]]] = {}

    @property
    def wanted(self) -> bool:
        """Whether the configuration asks for it."""
        return bool(getattr(self, "zoos", ()))


def declared(
    kind: Literal["table", "figure"], *, of: type[Section] = Section
) -> dict[str, str]:
    """Returns the class of every table or figure by its name, of all sections."""
    found = dict(of.tables if kind == "table" else of.figures)
    for section in of.__subclasses__():
        found |= declared(kind, of=section)
    return found


class Comparison(Section):
    """What stands side by side in a table and its figures: methods on pairs of zoos."""

    shown: ClassVar = {"epochs": "epochs"}
    reads: ClassVar = {
        "significance.Significance": ("zoos", "finetuned", "samples", "references"),
        "zoo.Zoo": ("zoos", "published"),
    }
    # whether the samples of methods are finetuned
    finetunes: ClassVar[bool] = True
    methods: Names = Field((), description="Keys of methods.")
    references: Names = Field(
        (), description="Keys of methods that are evaluated at epoch 0 only."
    )
    epochs: Increasing[Epoch] = Field(
        (0, 1, 25, 50), min_length=1, description="Finetuning epochs in the table."
    )

    @model_validator(mode="after")
    def _starts_at_0(self) -> Comparison:
        if self.epochs[0] != 0:
            raise ValueError("epochs must start at 0")
        return self


class WithinZoos(Comparison):
    """A comparison of networks on the images of their own zoo."""

    zoos: Names = Field((), description="Keys of zoos; none: no such table.")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Source and target: every zoo with itself."""
        return tuple((zoo, zoo) for zoo in self.zoos)


class InDistribution(WithinZoos):
    """Networks sampled and finetuned on their own zoo's images (paper, Table 1)."""

    tables: ClassVar = {
        "in_distribution": "accuracies.Accuracies",
        "significance_in_distribution": "significance.Significance",
    }
    figures: ClassVar = {
        "finetuning": "curves.Finetuning",
        "epoch_zero": "boxes.EpochZero",
        "zoo": "zoo.Zoo",
    }
    zoos: Names = Field(min_length=1, description="Keys of zoos.")
    methods: Names = Field(
        min_length=1, description="Keys of methods; their samples are finetuned."
    )


class Samplers(WithinZoos):
    """Samplers beside each other, before any finetuning (paper, box plot)."""

    tables: ClassVar = {
        "samplers": "accuracies.Accuracies",
        "significance_samplers": "significance.Significance",
    }
    figures: ClassVar = {"samplers": "boxes.Samplers"}
    finetunes: ClassVar[bool] = False
    epochs: Increasing[Epoch] = Field(
        (0, 25),
        min_length=1,
        description="Epochs of B_T, training from scratch, beside them.",
    )


class Architectures(WithinZoos):
    """Generated weights in other architectures, finetuned (paper, poster)."""

    tables: ClassVar = {
        "architectures": "accuracies.Accuracies",
        "significance_architectures": "significance.Significance",
    }
    figures: ClassVar = {"architectures": "boxes.Architectures"}
    epochs: Increasing[Epoch] = Field(
        (0, 1, 5, 50), min_length=1, description="Finetuning epochs in the table."
    )


class EqualCompute(WithinZoos):
    """Finetuned networks beside B_T, trained from scratch with as much compute."""

    tables: ClassVar = {"equal_compute": "compute.EqualCompute"}
    reads: ClassVar = {"compute.EqualCompute": ("zoos", "finetuned")}
    epochs: Increasing[Epoch] = Field(
        (0, 1, 25), min_length=1, description="Finetuning epochs in the table."
    )


class Transfer(Comparison):
    """Networks of one zoo finetuned on the images of another."""

    tables: ClassVar = {
        "transfer": "accuracies.Accuracies",
        "significance_transfer": "significance.Significance",
    }
    figures: ClassVar = {"transfer": "curves.Transfer"}
    pairs: Listed[tuple[Listed[tuple[Name, Name]], ...]] = Field(
        (), description="Source and target, keys of zoos; none: no such table."
    )

    @property
    def wanted(self) -> bool:
        """Whether there is any pair."""
        return bool(self.pairs)


class Ensembles(Section):
    """Ensembles of sampled networks beside ensembles of the zoo's own."""

    tables: ClassVar = {"ensembles": "ensembles.Ensembles"}
    figures: ClassVar = {
        "ensembles": "ensembles.Ensembles",
        "calibration": "ensembles.Calibration",
    }
    zoos: Names = Field((), description="Keys of zoos; empty: not made.")
    methods: Names = Field(
        (),
        description="Keys of methods; those that in_distribution does not finetune are"
        " known at epoch 0 only.",
    )
    sizes: Increasing[Count] = Field(
        (1, 2, 5, 10, 20, 30),
        min_length=1,
        description="Networks per ensemble; sizes above a population's are left out.",
    )
    epochs: Increasing[Epoch] = Field(
        (0, 1, 25),
        min_length=1,
        description="Finetuning epochs, among those of in_distribution.",
    )
    subsets: Count = Field(
        200, description="Random ensembles drawn of each size, at least."
    )


class OfVariants(Section):
    """A table of hyper-representations rather than of samples."""

    zoos: Names = Field((), description="Keys of zoos; empty: not made.")
    variants: Names = Field((), description="Keys of variants.")

    @model_validator(mode="after")
    def _some_variant(self) -> OfVariants:
        if self.zoos and not self.variants:
            raise ValueError("variants must name one at least, or zoos none")
        return self


class Reconstruction(OfVariants):
    """Networks beside their reconstructions, layer by layer."""

    tables: ClassVar = {"reconstruction": "reconstruction.Reconstruction"}
    figures: ClassVar = {"reconstruction": "reconstruction.Reconstruction"}


class Properties(OfVariants):
    """What linear probes read from weights, their statistics and latents."""

    tables: ClassVar = {"properties": "properties.Properties"}
    figures: ClassVar = {"latents": "latents.Latents"}
    variants: Names = Field(
        (), description="Keys of variants; the figure latents shows the first."
    )


class Ablation(OfVariants):
    """What the settings of a hyper-representation do, one variant per row."""

    tables: ClassVar = {"ablation": "ablation.Ablation"}
    figures: ClassVar = {"ablation": "ablation.Ablation"}
    variants: Names = Field(
        (), description="Keys of variants; the others are changes of the first."
    )
    samples: Annotated[int, Field(ge=2, le=MOST)] = Field(
        50, description="Networks of each population, per seed of a variant."
    )


class Novelty(Section):
    """The audit: how far sampled networks are from those they were learned from."""

    tables: ClassVar = {"novelty": "novelty.Novelty"}
    figures: ClassVar = {
        "novelty": "novelty.Novelty",
        "copies": "copies.Copies",
    }
    zoos: Names = Field((), description="Keys of zoos; none: no audit.")
    methods: Names = Field((), description="Keys of methods whose samples are audited.")
    noise: Increasing[Positive] = Field(
        (0.02, 0.04, 0.1, 0.2),
        description="Standard deviations of the reference training network + noise.",
    )
    soup: Annotated[int, Field(ge=2, le=MOST)] = Field(
        16, description="Networks of which each reference soup is the mean."
    )
    networks: Annotated[int, Field(ge=2, le=MOST)] = Field(
        100, description="Networks of each reference."
    )
    images: Count = Field(
        10_000, description="Test images (the first) on which answers are compared."
    )

    @model_validator(mode="after")
    def _some_method(self) -> Novelty:
        if self.zoos and not self.methods:
            raise ValueError("methods: none to audit; name some, or leave zoos empty")
        return self


class Judgement(Section):
    """Accuracy against distance: populations beside what noise and averaging give."""

    tables: ClassVar = {"judgement": "judgement.Judgement"}
    figures: ClassVar = {"judgement": "judgement.Judgement"}
    shown: ClassVar = {
        "noise": "noise",
        "soup": "soup",
        "reconstructions": "reconstructions",
    }
    zoos: Names = Field(
        (), description="Keys of zoos, among those of the audit; none: not made."
    )
    noise: Names = Field(
        (),
        description="Methods that are points of a curve, audited for it: networks with"
        " more and more noise.",
    )
    soup: Names = Field(
        (),
        description="The same: means of more and more networks, then with noise.",
    )
    reconstructions: Names = Field(
        (), description="Methods whose accuracy is drawn as a line, audited, too."
    )

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it names."""
        return self.noise + self.soup + self.reconstructions

    @model_validator(mode="after")
    def _curves(self) -> Judgement:
        for name in ("noise", "soup"):
            if self.zoos and len(getattr(self, name)) < 2:
                raise ValueError(
                    f"{name}: two methods at least make a curve; name them, or leave"
                    " zoos empty"
                )
        return self


class Capacity(Section):
    """The audit over sizes of the latent and lengths of its training."""

    figures: ClassVar = {"capacity": "capacity.Capacity"}
    zoos: Names = Field(
        (), description="Keys of zoos, among those of the audit; none: not made."
    )


# fonts that matplotlib brings
FONTS = ("DejaVu Sans", "DejaVu Serif", "STIXGeneral")


class Figures(Strict):
    """How all figures look in print."""

    column_width: Annotated[float, Field(ge=1, le=20)] = Field(
        3.25, description="Width in inches of a figure with one panel."
    )
    text_width: Annotated[float, Field(ge=1, le=20)] = Field(
        6.75, description="Width in inches of all other figures."
    )
    font: Annotated[Text, Field(min_length=1)] = Field(
        FONTS[0],
        description=f"Family of all text. {', '.join(FONTS)} come with matplotlib,"
        " others must be installed.",
    )
    font_size: Annotated[float, Field(ge=4, le=20)] = Field(
        8.0, description="Size of text in points; notes are a sixth smaller."
    )

    @model_validator(mode="after")
    def _column_in_text(self) -> Figures:
        if self.column_width > self.text_width:
            raise ValueError(
                f"column_width must not exceed text_width ({self.text_width:g}),"
                f" got {self.column_width:g}"
            )
        return self


class OwnResult(Strict):
    """A table or figure of a user's class, made from what those of a section are."""

    kind: Literal["table", "figure"] = Field(description="What it is.")
    made_by: OwnPart = Field(description="Its class: FILE.py:NAME.")
    section: Name = Field(
        description="Section whose files and settings it gets, such as novelty."
    )
    caption: Annotated[str, Field(max_length=5000)] = Field(
        "",
        description="What the report says of a figure, as reStructuredText; a table's"
        " caption is one of its words.",
    )

    @model_validator(mode="after")
    def _caption_of_figure(self) -> OwnResult:
        if self.caption and self.kind == "table":
            raise ValueError(
                "caption: of a table it stands in the YAML file beside its class"
            )
        return self
