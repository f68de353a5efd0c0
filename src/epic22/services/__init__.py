"""The verbs: what the command line, the API and the pages all call."""
