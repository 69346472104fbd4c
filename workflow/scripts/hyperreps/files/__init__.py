"""Files: whole or not there, and with what made them inside."""
