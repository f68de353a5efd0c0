"""Trainings as pages that open offline."""
