// No code: the library is its name (README.md).
