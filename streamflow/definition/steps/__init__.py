"""The kinds of step as authors write them, one module each; `registry` lists them all."""
