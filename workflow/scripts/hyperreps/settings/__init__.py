"""What a run is told, as models that check it. Imports no other package, nor torch."""
