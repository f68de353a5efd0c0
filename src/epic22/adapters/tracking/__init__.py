"""Where runs and their lineage are logged."""
