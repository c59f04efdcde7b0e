"""Model surgery: a folder in, a folder and a report out."""
