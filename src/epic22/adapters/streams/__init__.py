"""Where events wait until they are taken into a data version: a Redis stream, a file in the home, standard input."""
