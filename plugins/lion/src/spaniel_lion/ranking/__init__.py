"""Programs that score documents: the counts that they are given, an index of them, and how well they rank."""
