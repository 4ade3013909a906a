"""From history to a fitted model: split, train."""
