"""Python source as it is written: lines, blocks, functions, sums over lanes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Source:
    """Lines of Python with their indentation.

    Attributes:
        lines: What is written so far.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0
        self.names = 0

    def __call__(self, *lines: str) -> None:
        """Writes lines at the depth of the open blocks."""
        self.lines += ["    " * self.depth + line for line in lines]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Opens a block, such as a loop; what is written within lies deeper."""
        self(head)
        self.depth += 1
        yield
        self.depth -= 1

    @contextmanager
    def function(self, head: str, about: str) -> Iterator[None]:
        """Opens a function that numba compiles: name with arguments, docstring."""
        self("", "", "@njit")
        with self.block(f"def {head}:"):
            self(f'"""{about}"""')
            yield

    def lane_sums(self, vectors: Sequence[str], *, lanes: int) -> str:
        """Sums the lanes of each vector; returns a vector with sum i in lane i."""
        names = list(vectors)
        assert len(names) <= lanes
        block = lanes
        while block > 1:
            if len(names) % 2:
                names.append(names[-1])
            pairs = zip(names[::2], names[1::2], strict=True)
            names = [self.new(f"folded({x}, {y}, {block})") for x, y in pairs]
            block //= 2
        return names[0]

    def new(self, value: str) -> str:
        """Assigns to a fresh name and returns it."""
        self.names += 1
        self(f"t{self.names} = {value}")
        return f"t{self.names}"

    def add_lane_sums(self, vectors: Sequence[str], gradient_at: str) -> None:
        """Adds the lane sums of up to 16 vectors to `gradient` from an offset on."""
        sums = self.lane_sums(vectors, lanes=16)
        count = len(vectors)
        self(f"gradient_at = {gradient_at}")
        old = f"load(gradient, gradient_at, {count})"
        self(f"store(gradient, gradient_at, {old} + part({sums}, 0, {count}))")
