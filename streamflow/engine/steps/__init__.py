"""The kinds of step, one module each; `registry` lists them all, and every fact about a step."""
