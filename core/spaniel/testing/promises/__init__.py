"""What components of each kind promise, as checks; one room a kind."""
