"""What is asked of a training: the user's own table, panel or task file."""
