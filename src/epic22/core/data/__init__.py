"""From rows to examples and folds."""
