"""Shapes, seeds, random orders and statistics."""
