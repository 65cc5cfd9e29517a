"""Pages of the documentation agree with the program and with each other."""
