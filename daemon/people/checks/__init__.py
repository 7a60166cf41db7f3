"""What `retouchd check` tries, and what it says of it."""
