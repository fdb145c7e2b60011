"""How files of data are laid out: rules that recipes read by and that the command checks by. Needs no numpy."""
