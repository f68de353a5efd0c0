"""Small worlds whose truth is known."""
