"""Rows asked for over HTTP: bounded, retried, remembered; nothing is fetched that nobody asked for."""
