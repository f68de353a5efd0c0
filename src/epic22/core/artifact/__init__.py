"""The artifacts: sealed folders with manifest, trained model and golden rows."""
