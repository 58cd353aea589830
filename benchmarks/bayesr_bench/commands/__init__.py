"""Commands that this distribution adds to the command line of bayesr."""
