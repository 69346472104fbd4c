"""What surrounds a script's work: command line, device, kept machine code."""
