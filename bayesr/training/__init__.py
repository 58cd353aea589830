"""Training: data, losses, recipes and the loop. Needs torch and numpy alone, so that any GPU machine will do."""
