"""Kinds of forecaster behind one contract."""
