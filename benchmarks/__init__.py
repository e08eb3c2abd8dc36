"""What `objabn bench` runs."""
