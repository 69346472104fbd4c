"""Train, represent, sample and judge populations of small neural networks."""

__version__ = "0.1.0"
