"""Methods that score how unusual a row is. One file per method; a detector never sees a threshold."""
