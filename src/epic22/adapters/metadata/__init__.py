"""The metadata that several machines share: versions of data and models, champions, decisions, answers, in one database."""
