"""What trains and evaluates many networks side by side."""
