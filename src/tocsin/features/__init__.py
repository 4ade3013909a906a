"""Declarations of features. Each compiles to kernel operations; none of them computes anything itself."""
