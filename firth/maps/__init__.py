"""Maps: reduce a space to two or three dimensions and draw it."""
