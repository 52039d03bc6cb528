"""Code that only a generator under about 1B parameters needs: see README.md."""
