"""What can be predicted: one module a feature."""
