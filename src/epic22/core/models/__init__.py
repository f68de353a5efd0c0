"""Kinds of model behind one contract."""
