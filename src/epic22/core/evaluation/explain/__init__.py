"""What a model looks at, out of fold."""
