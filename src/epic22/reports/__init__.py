"""What people and programs read of a training: pages, figures, JSON."""
