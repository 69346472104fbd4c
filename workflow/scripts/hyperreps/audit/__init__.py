"""Are samples new? Distances, behaviour, references, and tests of differences."""
