"""Code that several functions share; a package takes only the modules that its function imports."""
