"""What a model must pass to serve: one file a gate, all in the list of `catalog`."""
