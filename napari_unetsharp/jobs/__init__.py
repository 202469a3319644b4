"""Many slides and pictures, each a job that can be repeated without harm."""
