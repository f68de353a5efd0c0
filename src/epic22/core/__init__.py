"""The nouns of the field; imports nothing from the layers above."""
