"""Trainings as JSON objects."""
