"""The arithmetic of Tocsin: the only code that computes a feature or walks a tree."""
