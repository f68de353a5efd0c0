"""Epic 22: machine learning for property management, honest from the first row to the served decision."""

__version__ = "0.1.0"
