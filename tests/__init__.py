"""Tests of the project; conftest.py says how they run side by side."""

import os

# a core each, also in numpy, which looks when it is imported
os.environ["OMP_NUM_THREADS"] = "1"
