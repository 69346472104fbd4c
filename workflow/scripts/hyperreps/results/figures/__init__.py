"""Figures: from numbers to panels."""
