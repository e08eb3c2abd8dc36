"""What this machine can do for objabn, one finding a line; each check gives a remedy with every problem."""
