"""One module for each finding, named by behaviour. Importing it registers its cases."""
