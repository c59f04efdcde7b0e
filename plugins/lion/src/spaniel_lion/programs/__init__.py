"""Programs: what they are, their types, hashes and simplifications, mutations, and how they run."""
