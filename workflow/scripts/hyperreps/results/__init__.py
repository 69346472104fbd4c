"""What tables and figures are made of: numbers, their layout, their words."""
