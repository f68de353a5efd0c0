"""The ways from data to a model, one module each: rows, rows in batches, series."""
