"""What chooses among evaluated things."""
