"""The patch on Django's ORM: which rows are loaded, by which statement, at which call site."""
