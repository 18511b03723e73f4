"""The driver and runtime APIs as a table, and what is generated from it: entry points, headers, bindings, the coverage page.

`tables/` holds the facts (one file for each chapter of the manual, and the types), `table` reads them, `generate` writes files
for the build. docs/add-an-api-function.md walks through the addition of one function.
"""
