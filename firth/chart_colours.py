"""The colours of firth's charts: told apart by those who see few colours, on white."""

BLUE, ORANGE, GREEN, VIOLET = "#2b6cb0", "#d9822b", "#117733", "#882255"
GREY, INK = "#9aa5b1", "#1f2933"
