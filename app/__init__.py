"""The top floor: the command line, run folders and the training loop. It imports all others."""
