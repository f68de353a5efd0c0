"""The canonical tables: their declaration, mapping, parsing and versions."""
